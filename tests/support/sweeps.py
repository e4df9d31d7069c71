"""What the sampler finds in real processes at a deep floor, taken by its own sweep in this process."""

from __future__ import annotations

import json
import time

from harness.sampling import protocol
from harness.sampling.protocol import Depth, Root, Start
from harness.sampling.schedule import Due
from harness.sampling.sweep import Sweeper

_NOBODY: frozenset[int] = frozenset()


class Watched:
    """A process and all below it."""

    def __init__(self, pid: int) -> None:
        self._sweeper = Sweeper(Start("/proc", 1_000_000_000, 100.0, (Root(pid, "app"),), _NOBODY), _NOBODY)
        self._names: dict[int, list[str]] = {}

    def close(self) -> None:
        """No floor afterwards."""
        self._sweeper.close()

    def floor(self) -> dict[int, dict[str, int | None]]:
        """All values at this moment, by pid."""
        data = self._sweeper.sweep(time.monotonic_ns(), Due(0, 0), floor_id=1, depth=Depth.HEAPS)
        values: dict[int, dict[str, int | None]] = {}
        for message in map(json.loads, data.splitlines()):
            if message["k"] == "names":
                self._names[message["set"]] = message["names"]
            elif message["k"] == "more":
                for pid, _, names, row in message["x"]:
                    values.setdefault(pid, {}).update(zip(self._names[names], row, strict=True))
            elif message["k"] == "tick":
                for pid, _, row in message["p"]:
                    values.setdefault(pid, {}).update(zip(protocol.COLUMNS, row, strict=True))
        return values
