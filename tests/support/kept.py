"""A line to a keeper, as the session has one, for tests: everything it says is kept."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.targets.connectors.deploy import Deployed, deploy
from harness.targets.connectors.spec import Connector

PATIENCE_S = 60.0


class KeptLine:
    """The line process at home, spoken to in JSON lines."""

    def __init__(self, argv: list[str], **order: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.sampling.remote.line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.said: list[dict[str, Any]] = []
        self._write({"argv": argv, **order})

    def _write(self, message: dict[str, object]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def tell(self, to: str, **message: object) -> None:
        self._write({"to": to, "m": message})

    def sampler(self, interval_ms: int) -> None:
        """Start one there that follows its own keeper's children: nothing that matters."""
        self.tell("-", cmd="run", name="sampler", part="sampler")
        roots = [{"pid": os.getpid(), "pool": "app"}]
        self.tell("sampler", cmd="start", interval_ns=interval_ms * 1_000_000, roots=roots, look=False)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read on to the first message that is wanted."""
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            self.said.append(message)
            if wanted(message):
                return message
        raise AssertionError(f"the line ended before; it said {self.said[-3:]}")

    def ticks(self) -> list[dict[str, Any]]:
        return [m["m"] for m in self.said if m["k"] == "said" and m["m"].get("k") == "tick"]

    def end(self) -> int:
        """Hang up, and read the rest."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.said += [json.loads(line) for line in self.process.stdout]
        return self.ended()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself or was killed."""
        code = self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()
        return code


def is_tick(message: dict[str, Any]) -> bool:
    return message["k"] == "said" and message["m"].get("k") == "tick"


def kind(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["k"] == name


def kept(
    connector: Connector, *, silence_s: float = 10.0, grace_s: float = 60.0, spool_bytes: int = 64 << 20
) -> Deployed:
    return deploy(connector, silence_s=silence_s, grace_s=grace_s, spool_bytes=spool_bytes)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_with(text: str) -> Iterator[int]:
    """Pids whose command line contains the text."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:
            continue


def sweeps_are_whole(ticks: list[dict[str, Any]], interval_ms: int) -> None:
    """Every point of the grid was swept, or is counted as missed by the sweep after it; and none came twice."""
    grid = [tick["t"] - tick["late"] for tick in ticks if tick["floor"] is None]
    steps = [(later - before) / (interval_ms * 1_000_000) for before, later in itertools.pairwise(grid)]
    assert [round(step) for step in steps] == [tick["missed"] + 1 for tick in ticks[1:]]
