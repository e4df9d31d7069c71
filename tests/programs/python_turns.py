"""What a measured request must not do to the others, nor they to it, one case an argument; prints ``fine`` or a traceback.

Standard library and the agent's own modules, so it runs on every Python from 3.8 on.
"""

import asyncio
import atexit
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.python.agent import middleware, settings
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


{"cancelled": cancelled}[sys.argv[1]]()
sys.stdout.write("fine\n")
