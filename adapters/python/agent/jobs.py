"""Functions whose calls are the jobs of a worker: every call is recorded once, and may run under the tool that was armed."""

import os
import sys
from functools import update_wrapper

from . import middleware, patches
from .recorder import Request

RUNS = 2  # under an armed tool, of each kind of job and process: the first loads the tool and warms up
_KINDS = 32
_PATIENCE_CALLS = 1_000_000  # of a script's own start, which tracing makes slower
_GENERATOR = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR; inspect itself is slow to import
_COROUTINE = 0x80


def complain(spec, why):
    """One line for people in the target's output: this job will not be recorded."""
    try:
        os.write(2, ("harness agent: job %s is not recorded: %s\n" % (spec, why)).encode("utf-8", "replace"))
    except OSError:
        pass


def claim(recorder, name):
    """The words of the tool that this job is to run under, None for an ordinary one."""
    if recorder.armed is None:
        return None
    gate = sys.modules.get(__package__ + ".gate")  # not there: nothing has been measured yet
    if gate is not None and gate.measuring_here():
        return None  # a job within a measured one is part of it, and would wait for its end
    words, runs = recorder.armed
    done = runs.get(name, 0)
    if done >= RUNS or (not done and len(runs) >= _KINDS):
        return None
    runs[name] = done + 1
    return words


def _admit(name, tool):
    """(request, words of a tool or None); request is None where nothing is to be recorded."""
    recorder = middleware.recorder
    if recorder.closed:
        return None, None
    request = Request(name, None)
    tool = tool or claim(recorder, name)
    if tool is None:
        recorder.begin(request)
    return request, tool


def call(name, function, args, named, tool=None):
    """Call a function as one job; ``tool``: the words of a tool that was asked for."""
    try:
        request, tool = _admit(name, tool)
    except Exception:
        request = None
    if request is None:
        return function(*args, **named)
    if tool is not None:
        trigger = middleware.load_trigger(request, tool)
        if trigger is not None:
            return trigger.call_job(middleware.recorder, request, tool, function, args, named)
    try:
        turn = middleware.recorder.gate
        if turn is not None:
            turn.hold_back(request)
        return function(*args, **named)
    finally:
        middleware.end(request)


async def call_async(name, function, args, named):
    """The same for a coroutine function."""
    try:
        request, tool = _admit(name, None)
    except Exception:
        request = None
    if request is None:
        return await function(*args, **named)
    if tool is not None:
        trigger = middleware.load_trigger(request, tool)
        if trigger is not None:
            return await trigger.call_job_async(middleware.recorder, request, tool, function, args, named)
    try:
        turn = middleware.recorder.gate
        if turn is not None:
            await turn.hold_back_async(request)
        return await function(*args, **named)
    finally:
        middleware.end(request)


def _job(spec, function):
    def patched(*args, **named):
        return call(spec, function, args, named)

    return patched


def _async_job(spec, function):
    async def patched(*args, **named):
        return await call_async(spec, function, args, named)

    return patched


def patch(module, spec):
    """Have the calls of the function that ``spec`` (``module:Qual.name``) names recorded. AttributeError: it is not there."""
    *path, name = spec.partition(":")[2].split(".")
    owner = module
    for part in path:
        owner = getattr(owner, part)
    found = next((vars(o)[name] for o in (*getattr(owner, "__mro__", ()), owner) if name in vars(o)), None)
    if found is None:
        raise AttributeError("%s has no %s" % (getattr(owner, "__name__", "it"), name))
    kind = type(found)
    function = found.__func__ if kind in (staticmethod, classmethod) else found
    code = getattr(function, "__code__", None)
    if code is None or type(function) is not type(patch):
        complain(spec, "it is a %s, not a function" % kind.__name__)
    elif code.co_flags & _GENERATOR:
        complain(spec, "it is a generator, whose work happens after the call")
    else:
        make = _async_job if code.co_flags & _COROUTINE else _job
        patched = update_wrapper(make(spec, function), function)
        patches.put(owner, name, patched if function is found else kind(patched))


def _patch_all(module, specs):
    for spec in specs:
        try:
            patch(module, spec)
        except Exception as error:
            complain(spec, repr(error))


def hooks(specs):
    """Module -> what to do when it has been imported, for `hooks.HookFinder`."""
    by_module: "dict[str, list[str]]" = {}
    for spec in specs:
        by_module.setdefault(spec.partition(":")[0], []).append(spec)
    by_module.pop("__main__", None)
    return {
        name: lambda module, of_module=tuple(of_module): _patch_all(module, of_module)
        for name, of_module in by_module.items()
    }


# --- the script itself -----------------------------------------------------------------------------------------------


def _main_names(main):
    """The names that a specification may use for the script that runs as ``__main__``."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return {"__main__", spec.name, spec.name[:-9] if spec.name.endswith(".__main__") else spec.name}
    stem = os.path.basename(getattr(main, "__file__", None) or "")
    return {"__main__", stem[:-3] if stem.endswith(".py") else stem}


def patch_main(specs):
    """Patch functions of the running script; for a process that has been running for a while."""
    main = sys.modules["__main__"]
    names = _main_names(main)
    _patch_all(main, [spec for spec in specs if spec.partition(":")[0] in names])


def watch_main(specs):
    """Patch functions of the script that is about to start, each as soon as it has been defined.

    Nobody imports a script, so its own lines are traced until its functions are there, or it turns out to be another one.
    Other frames are not traced, and a debugger or coverage that sets a trace function of its own goes first.
    """
    main = sys.modules["__main__"]
    waiting = list(specs)
    known = False
    calls = 0

    def give_up(why):
        for spec in waiting:
            complain(spec, why)
        waiting.clear()

    def trace(frame, event, arg):
        nonlocal known, calls
        if frame.f_globals is not main.__dict__ or frame.f_code.co_name != "<module>":
            calls += 1
            if calls > _PATIENCE_CALLS:
                give_up("the script calls a lot before it defines it")
                _untrace(trace)
            return None
        if not known:
            known = True
            names = _main_names(main)
            waiting[:] = [spec for spec in waiting if spec.partition(":")[0] in names]
            for spec in [spec for spec in waiting if _first(spec) not in frame.f_code.co_names]:
                waiting.remove(spec)
                complain(spec, "the script does not define it")
        for spec in [spec for spec in waiting if _first(spec) in main.__dict__]:
            waiting.remove(spec)
            _patch_all(main, [spec])
        if event == "return":
            give_up("the script ended without it")
        if not waiting:
            _untrace(trace)
            return None
        return trace

    if sys.gettrace() is None:
        sys.settrace(trace)


def _untrace(trace):
    if sys.gettrace() is trace:
        sys.settrace(None)


def _first(spec):
    return spec.partition(":")[2].partition(".")[0]


def could_be_main(specs):
    """Whether the script that is about to start may be one of the modules named; its name is known only in part here."""
    argv = getattr(sys, "argv", None) or ["-m"]
    stem = os.path.basename(argv[0])
    stem = stem[:-3] if stem.endswith(".py") else stem
    modules = {spec.partition(":")[0] for spec in specs}
    return argv[0] == "-m" or "__main__" in modules or stem in modules
