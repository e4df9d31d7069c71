"""The real sampler as a process, spoken to by its protocol (docs/architecture.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from commands import environment, reap

SECOND_NS = 1_000_000_000
EVERYTHING = 100_000.0  # a budget under which every process is walked in every sweep
DEFAULT = 1.0


def start_line(root: int, interval_s: float, budget_percent: float, look: bool) -> bytes:
    """The first line: follow this tree; ``look`` into its runtimes as well."""
    start = {
        "cmd": "start", "host": "", "proc": "/proc", "interval_ns": int(interval_s * SECOND_NS),
        "budget_percent": budget_percent, "roots": [{"pid": root, "pool": "bench"}], "look": look,
    }  # fmt: skip
    return json.dumps(start).encode()


class Sampler:
    """One that is running. `cpu_s` is known once the context has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.columns: list[str] = []
        self.cpu_s = 0.0

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, as it comes."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["k"] == "hello":
                self.columns = message["columns"]
            yield message

    def ticks(self, count: int) -> Iterator[dict[str, Any]]:
        """That many sweeps."""
        for message in self.messages():
            if message["k"] == "tick":
                yield message
                count -= 1
                if count == 0:
                    return
        raise RuntimeError("the sampler ended early; see above")

    def column(self, tick: dict[str, Any], name: str) -> dict[tuple[int, int], int | None]:
        """One metric of every process in a sweep, by pid and start time."""
        index = self.columns.index(name)
        return {(pid, start): values[index] for pid, start, values in tick["p"]}


@contextmanager
def sampling(root: int, interval_s: float, budget_percent: float, look: bool = True) -> Iterator[Sampler]:
    """A sampler over the tree."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.sampling"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sampler = Sampler(process)
    try:
        process.stdin.write(start_line(root, interval_s, budget_percent, look).decode() + "\n")
        process.stdin.flush()
        yield sampler
    finally:
        process.stdin.close()
        process.stdout.read()
        process.stdout.close()
        sampler.cpu_s = reap(process)
