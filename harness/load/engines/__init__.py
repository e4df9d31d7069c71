"""What sends the traffic: one file here (or one entry point of another package) for each engine.

The service in front (`harness.load.service`) reads the session's commands and writes the lines; an engine only carries them out.
So the session need not know which one it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from harness.load.exchange import Exchange
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.user import Decoration
from harness.model.span import PhaseName, Span

GROUP = "harness.load_engines"
BUILTIN = "builtin"


@dataclass(frozen=True, slots=True)
class StageSpec:
    """An arrival rate per second going linearly from one to the other; beyond ``max_in_flight`` arrivals are dropped."""

    phase: PhaseName
    rate_from: float
    rate_to: float
    seconds: float
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class State:
    """How an engine is, beside the process it is driven from: CPU time and memory of other processes on this host (0: there are
    none), and totals over all of its workers."""

    cpu_ns: int = 0
    rss_bytes: int = 0
    lag_ns: int = 0
    in_flight: int = 0
    dropped: int = 0
    retried: int = 0


class Executor(Protocol):
    """One run's traffic. One of `round`, `stage`, `run` and `one` at a time; each reports to the `Output` it was opened with.

    All may raise `EngineError` when it cannot go on.
    """

    def cancel(self) -> None:
        """Start nothing new in the round or stage that is on; it ends when the requests in flight have."""

    def proceed(self) -> None:
        """The floor of the block just reported has been taken."""

    async def round(self, phase: PhaseName, number: int, requests: int, blocks: int) -> None:
        """Send one round, block by block, reporting each block when it has drained and waiting for `proceed` after it."""

    async def stage(self, spec: StageSpec) -> None:
        """Start requests when the schedule says, whether or not earlier ones have been answered."""

    async def run(self, phase: PhaseName, seconds: float, *, last: bool) -> None:
        """Have traffic that shapes itself (a locustfile) go on for so long; it ends after the ``last`` stretch only."""

    async def one(self, endpoint: str, phase: PhaseName, decoration: Decoration) -> tuple[Span, Exchange]:
        """Send one request alone. ValueError when there is no such endpoint."""

    def state(self) -> State:
        """Now, without waiting."""

    async def close(self) -> None:
        """End everything; requests in flight are abandoned."""


class Engine(Protocol):
    """A way to send traffic. ``name`` is the word in the scenario."""

    name: str

    async def open(self, plan: LoadPlan | None, options: Mapping[str, Any], output: Output) -> Executor:
        """Be ready to send. ``plan`` None: the scenario lists no requests. ``options``: see the engine's page in docs/load.md.

        ValueError when the plan or an option cannot be carried out; EngineError when a part of the engine does not start.
        """


class EngineError(ValueError):
    """An engine cannot start or go on, for a reason outside this program; the text is for people.

    ``at_start``: it never began, because of what the user gave it.
    """

    def __init__(self, text: str, *, at_start: bool = False) -> None:
        super().__init__(text)
        self.at_start = at_start


def load_engine(name: str) -> Engine:
    """The engine of this name; ValueError when there is none, or two."""
    found = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if len(found) != 1:
        known = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)}))
        what = "no load engine is called" if not found else "two packages claim the load engine"
        raise ValueError(f"{what} {name!r} (there are: {known or 'none'})")
    engine: Engine = next(iter(found.values())).load()
    return engine
