"""Who takes part: the service alone, with our agent, with each of our tools on each request, and under the stock tools."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.python.toolset import TOOLS

HERE = Path(__file__).parent
SERVE = (sys.executable, str(HERE / "app.py"))
NO_AGENT, UNTRIGGERED = "", "-"


@dataclass(frozen=True, slots=True)
class Contestant:
    """``tool``: no agent at all, the agent with untriggered requests, or each measured request triggered with this tool."""

    name: str
    tool: str = NO_AGENT
    argv: tuple[str, ...] = SERVE
    env: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""  # a package


BARE = Contestant("the service alone")
OURS = (
    Contestant("our agent, request not profiled", UNTRIGGERED),
    *(Contestant(f"our {name}", name) for name in TOOLS),
)


def stock(scratch: Path) -> tuple[Contestant, ...]:
    """The tools as their documentation says to use them, each measuring everything from boot on."""
    memray = (sys.executable, "-m", "memray", "run", "--quiet", "--force", "-o", str(scratch / "memray.bin"))
    scalene = (sys.executable, "-m", "scalene", "run", "-o", str(scratch / "scalene.json"), "---")
    program = str(HERE / "app.py")
    return (
        Contestant("memory_profiler's decorator", env={"BENCH_DECORATE": "1"}, needs="memory_profiler"),
        Contestant("memray run", argv=(*memray, program), needs="memray"),
        Contestant(
            "memray run, Python's allocators", argv=(*memray, "--trace-python-allocators", program), needs="memray"
        ),
        Contestant("tracemalloc from boot, 1 frame", env={"PYTHONTRACEMALLOC": "1"}),
        Contestant("tracemalloc from boot, 25 frames", env={"PYTHONTRACEMALLOC": "25"}),
        Contestant("scalene run", argv=(*scalene, program), needs="scalene"),
    )


def installed(contestant: Contestant) -> bool:
    """Whether its package is there."""
    return not contestant.needs or importlib.util.find_spec(contestant.needs) is not None
