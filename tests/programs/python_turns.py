"""What a measured request must not do to the others, nor they to it, one case an argument; prints ``fine`` or a traceback.

Standard library and the agent's own modules, so it runs on every Python from 3.8 on.
"""

import asyncio
import atexit
import contextvars
import gc
import json
import os
import shutil
import sys
import tempfile
import threading
import tracemalloc
import types
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.python.agent import gate, jobs, middleware, settings
from adapters.python.agent.recorder import Recorder

directory = tempfile.mkdtemp()
atexit.register(shutil.rmtree, directory)
records = Path(directory) / "records"
records.touch()
settings.load({"HARNESS_RESULTS": directory})
recorder = middleware.recorder = Recorder(str(records))
os.register_at_fork(after_in_child=recorder.reset)
middleware.token = b"secret"


def asgi(app, *tool):
    """A request of an ASGI server, measured with a tool where one is named."""
    headers = [(b"x-harness-trigger", b"secret " + name) for name in tool]
    return middleware.call_asgi(app, {"type": "http", "method": "GET", "path": "/", "headers": headers}, None, None)


def tools():
    """(error, alone) of the tool records so far."""
    found = [json.loads(line) for line in records.read_text().splitlines()]
    return [(each["error"], each["v"].get("alone")) for each in found if each["k"] == "tool"]


def cancelled():
    """A request is cancelled while it waits for a measured one (its client has gone)."""

    async def main():
        began, go = asyncio.Event(), asyncio.Event()

        async def measured(scope, receive, send):
            began.set()
            await go.wait()

        async def never(scope, receive, send):
            raise AssertionError("it came in")

        first = asyncio.ensure_future(asgi(measured, b"tracemalloc"))
        await began.wait()
        second = asyncio.ensure_future(asgi(never))
        await asyncio.sleep(0)  # it is at the gate
        second.cancel()
        [error] = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(error, asyncio.CancelledError)
        go.set()
        await first

    asyncio.run(main())
    assert not recorder.active, recorder.active  # now that no traceback keeps anything
    assert tools() == [(None, 1)]


def wsgi(app):
    """A measured request of a WSGI server."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_HARNESS_TRIGGER": "secret tracemalloc"}
    return middleware.call_wsgi(app, environ, lambda status, headers: None)


def in_vain():
    """A second request that is to be measured runs, unmeasured, beside the first, having waited for it as long as it may."""
    gate.TURN_TIMEOUT_S = 0.01
    began, go = threading.Event(), threading.Event()
    traced_in_child = []

    def measured(environ, start_response):
        began.set()
        go.wait()
        warnings.simplefilter("ignore")  # of the fork beside a thread
        child = os.fork()
        if not child:
            os._exit(tracemalloc.is_tracing())
        traced_in_child.append(os.waitpid(child, 0)[1])
        return []

    first = threading.Thread(target=wsgi, args=(measured,))
    first.start()
    began.wait()
    wsgi(lambda environ, start_response: [])
    go.set()
    first.join()
    assert traced_in_child == [0]  # the first was still known to be measured
    assert tools() == [("another triggered request was still running after 0 s", 0), (None, 0)], tools()


class Pause:
    """What a coroutine awaits on a loop that is not asyncio's."""

    def __await__(self):
        yield


def other_loop():
    """Where our pauses mean nothing nobody waits, and who came in is told."""

    async def app(scope, receive, send):
        await Pause()

    tasks = [(contextvars.copy_context(), asgi(app, *tool)) for tool in ((b"tracemalloc",), (b"tracemalloc",), ())]
    for context, task in tasks:
        context.run(task.send, None)
    for context, task in reversed(tasks):
        try:
            context.run(task.send, None)
        except StopIteration:
            continue
        raise AssertionError("it waits")
    assert not recorder.active
    assert tools() == [("another triggered request was still running after 0 s", 0), (None, 0)], tools()


def on_the_loop():
    """A plain function that is a job, called on a loop: the loop does not stand still for what runs on it."""
    gate.DRAIN_TIMEOUT_S = gate.NEWCOMER_TIMEOUT_S = gate.TURN_TIMEOUT_S = 1000.0
    module = types.ModuleType("work")
    exec("async def fetch(go):\n    await go.wait()\n\ndef parse():\n    pass\n", module.__dict__)
    jobs.patch(module, "work:fetch")
    jobs.patch(module, "work:parse")

    async def main():
        for fetch, parse in ((None, ("tracemalloc", {})), (("tracemalloc", {}), None), (("tracemalloc", {}),) * 2):
            go = asyncio.Event()
            recorder.armed = fetch
            running = asyncio.ensure_future(module.fetch(go))
            await asyncio.sleep(0)
            recorder.armed = parse
            module.parse()
            go.set()
            await running

    asyncio.run(main())
    refused = "another triggered request was still running after 0 s"
    assert tools() == [(None, 0), (None, 0), (refused, 0), (None, 0)], tools()


def nested():
    """A job that calls itself does not wait for itself."""
    gate.TURN_TIMEOUT_S = 1000.0
    module = types.ModuleType("work")
    exec("def walk(n):\n    return n and walk(n - 1)\n", module.__dict__)
    jobs.patch(module, "work:walk")
    recorder.armed = ("tracemalloc", {})
    for _ in range(3):
        module.walk(3)
    assert tools() == [(None, 1)] * jobs.RUNS, tools()


def forked():
    """A child that the application forks and that leaves the way it came tells nothing of the measured request."""

    def app(environ, start_response):
        child = os.fork()
        if not child:
            raise SystemExit
        os.waitpid(child, 0)
        return []

    own = os.getpid()
    try:
        wsgi(app)
    except SystemExit:
        if os.getpid() != own:
            wsgi(lambda environ, start_response: [])  # and it can be measured itself
            os._exit(0)
    assert tools() == [(None, 1)] * 2, tools()


def emptied():
    """An application that removes modules it does not know is served all the same, beside a measured request and in a job."""
    gate.NEWCOMER_TIMEOUT_S = 0.01
    served = []

    def newcomer(environ, start_response):
        served.append("newcomer")
        return []

    def measured(environ, start_response):
        for name in [name for name in sys.modules if name.startswith("adapters")]:
            sys.modules[name] = None  # the agent's are not to be found a second time
        other = threading.Thread(target=middleware.call_wsgi, args=(newcomer, {}, None))
        other.start()
        other.join()
        return []

    wsgi(measured)
    recorder.armed = ("tracemalloc", {})
    jobs.call("job", served.append, ("job",), {})
    assert served == ["newcomer", "job"]
    assert not recorder.active
    (_, alone), (error, _) = tools()
    assert alone == 0
    assert error.startswith("the agent is incomplete"), error


def no_name():
    """A trigger that names no tool is an error, and the request is served."""
    environ = {"HTTP_X_HARNESS_TRIGGER": "secret  \t"}
    assert middleware.call_wsgi(lambda environ, start_response: [b"x"], environ, None) == [b"x"]
    assert tools() == [("unknown tool 'none'", 1)], tools()


class TimeLimitError(BaseException):
    """What a worker raises in a job from outside, wherever it is."""


def job_that_ends_at(line):
    """Run a measured job with a time limit that ends it at that line of a tool; whether there were as many."""
    left = line

    def trace(frame, event, arg):
        nonlocal left
        if not frame.f_code.co_filename.endswith(("tool_tracemalloc.py", "aside.py")):
            return None
        if event == "line":
            left -= 1
            if not left:
                raise TimeLimitError
        return trace

    def job():
        sys.settrace(trace)
        try:
            jobs.call("job", int, (), {}, "tracemalloc")
        finally:
            sys.settrace(None)

    try:
        job()
    except TimeLimitError:
        return True
    return False


def time_limit():
    """Wherever it strikes in a tool, the next job finds the gate open and nothing switched on."""
    line = 1
    while job_that_ends_at(line):
        assert (recorder.gate, recorder.active) == (None, {}), line
        assert not tracemalloc.is_tracing(), line
        assert gc.get_freeze_count() <= recorder.frozen_at_boot, line
        line += 1
    assert line > 30
    assert tools() == [(None, 1)], tools()


CASES = (emptied, no_name, time_limit, cancelled, in_vain, other_loop, on_the_loop, nested, forked)
{case.__name__: case for case in CASES}[sys.argv[1]]()
sys.stdout.write("fine\n")
