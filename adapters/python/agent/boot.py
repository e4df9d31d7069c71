"""Starts the agent: in a process that was launched with the harness's environment (`install`, called by ``sitecustomize``), or
in one that has been running for a while (`enter`, called by ``enter.py``), which it can leave again (`leave`)."""

import os
import sys

from . import control, hooks, middleware, patches, settings
from .recorder import Recorder, quote

_SECRET_WORDS = ("pass", "secret", "token", "key", "auth")
_boot_dir = ""
_finder: "hooks.HookFinder" = None  # type: ignore[assignment]  # set before it can be asked for
left = False  # the agent was here, and has gone


def install(boot_dir):
    """Open the records file, hook servers and frameworks, announce this process. ``boot_dir`` is what PYTHONPATH names."""
    global _boot_dir
    _boot_dir = boot_dir
    recorder, specs = _begin(os.environ)
    if specs:
        from . import jobs

        if jobs.could_be_main(specs):
            jobs.watch_main(specs)
    _patch_exec()
    control.install(recorder)
    if settings.text("GC_FREEZE"):
        from . import freezing

        freezing.install(recorder)
    recorder.announce()
    if settings.text("JOB_TOOL"):
        from . import job

        job.start(recorder)


def enter(values):
    """The same in a running process, from the ``HARNESS_`` settings in ``values``. Nothing is handed on to programs it starts."""
    recorder, specs = _begin(values)
    if specs:
        from . import jobs

        jobs.patch_main(specs)
    control.install(recorder)
    recorder.announce()


def leave():
    """Take everything back: patched attributes, the finder, the collector's callback, open files, the signal's handler."""
    global left
    left = True
    control.remove()
    patches.restore()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    middleware.recorder.close()


def _begin(values):
    """Recorder and hooks of this process, and the names of the functions that are jobs."""
    global _finder
    if "t" in getattr(sys, "abiflags", ""):
        raise RuntimeError("free-threaded Python is not supported")
    settings.load(values)
    recorder = Recorder(settings.text("RECORDS"))
    if recorder.fd < 0:
        raise RuntimeError("cannot write %s as uid %d" % (recorder.path, os.geteuid()))
    middleware.recorder = recorder
    middleware.token = settings.text("TOKEN").encode("utf-8", "replace")
    recorder.announcement = ',"version":%s,"argv":%s}' % (
        quote(sys.version.split()[0][:32]),
        quote(_command_line()),
    )
    os.register_at_fork(after_in_child=lambda: _after_fork(recorder))
    specs = settings.text("JOBS").split()
    watched = hooks.HOOKS
    if specs:
        from . import jobs

        watched = {**hooks.HOOKS, **jobs.hooks(specs)}
    _finder = hooks.HookFinder(watched)
    _finder.install()
    return recorder, specs


def _after_fork(recorder):
    if recorder.closed:
        return
    recorder.reset()
    if not recorder.copying:
        recorder.announce()


def keep_first(env):
    """Put our directory in front of an environment's PYTHONPATH, so that the next process gets the agent as well."""
    if not _boot_dir:
        return
    rest = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != _boot_dir]
    env["PYTHONPATH"] = os.pathsep.join([_boot_dir, *rest])


def _patch_exec():
    # Launchers (opentelemetry-instrument and its like) put their own directory first and exec; execl, execvp etc. end here.
    execve, execv = os.execve, os.execv

    def patched_execve(path, argv, env):
        try:
            if "HARNESS_RECORDS" in env:
                if env is not os.environ:
                    env = dict(env)
                keep_first(env)
        except Exception:
            pass
        return execve(path, argv, env)

    def patched_execv(path, argv):
        try:
            keep_first(os.environ)
        except Exception:
            pass
        return execv(path, argv)

    os.execve, os.execv = patched_execve, patched_execv


def _command_line():
    """The start of this process's command line, values of arguments that look secret left out."""
    try:
        fd = os.open("/proc/self/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.read(fd, 2048)
        finally:
            os.close(fd)
    except OSError:
        return ""
    words = []
    for word in raw.decode("utf-8", "replace").split("\0"):
        name, equals, _ = word.partition("=")
        secret = equals and any(part in name.lower() for part in _SECRET_WORDS)
        glued = len(word) > 2 and word[0] == "-" != word[1]  # -c and its program in one word
        words.append(word[:2] if glued else name + "=***" if secret else word)
    return " ".join(words[:2]).strip()[:300]  # the interpreter and the script; what follows may hold secrets
