"""The one way to read time. Everything recorded uses the host's CLOCK_MONOTONIC in nanoseconds.

CLOCK_MONOTONIC is shared by all processes of a host (and is what PHP's ``hrtime`` reads), never steps, and stops during
suspend. Sources that only know wall time are placed through `Anchor` pairs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that nothing under test has to sleep."""

    def monotonic_ns(self) -> int: ...
    def wall_ns(self) -> int: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real clock."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class FakeClock:
    """A clock that moves only when told to; sleeping advances it."""

    now_ns: int = 0
    wall_offset_ns: int = 1_700_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns + self.wall_offset_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
