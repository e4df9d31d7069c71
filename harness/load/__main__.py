"""``python -m harness.load``: the load generator, driven over standard input and output (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback

from harness.load.engines import EngineError
from harness.load.pipe import Output, open_input
from harness.load.service import Service


async def _main() -> int:
    output = await Output.open()
    try:
        await Service(output).run(await open_input())
    except BaseExceptionGroup as group:
        return _give_up(output, group.exceptions[0])
    except Exception as error:  # noqa: BLE001  the last line of defence: whatever it is, the session must be told
        return _give_up(output, error)
    finally:
        await output.close()
    return 0


def _give_up(output: Output, error: BaseException) -> int:
    if not isinstance(error, ValueError):  # a defect of ours: the details go to standard error
        traceback.print_exception(error, file=sys.stderr)
    outside = isinstance(error, EngineError)
    usage = isinstance(error, EngineError) and error.at_start
    output.event({"k": "error", "text": str(error) or type(error).__name__, "usage": usage, "outside": outside})
    return 1


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group of the terminal; what happens then is the session's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(asyncio.run(_main()))
