"""How much another host may say: what an honest sampler says is far below, and all that is kept has an end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import pytest

from harness.errors import EXIT_TARGET, TargetError
from harness.sampling.tree import MOST_PROCESSES
from harness.session.sampler_bounds import MOST_ANNOUNCED, Bounds


def _proc(number: int, command: str = "web: worker") -> Mapping[str, Any]:
    return {"k": "proc", "pid": number % 30_000 + 2, "start": number, "comm": "web", "cmd": command}


def _exit(number: int) -> Mapping[str, Any]:
    return {"k": "exit", "pid": number % 30_000 + 2, "start": number, "last": {"process.faults.major": 1}}


def _tick(*names: str) -> Mapping[str, Any]:
    return {"k": "tick", "s": dict.fromkeys(names, 1)}


def test_a_long_run_of_a_busy_host_is_within() -> None:
    bounds = Bounds("web-1")
    for number in range(MOST_PROCESSES):
        bounds.take(_proc(number))
    for number in range(MOST_PROCESSES, MOST_ANNOUNCED):
        bounds.take(_exit(number - MOST_PROCESSES))
        bounds.take(_proc(number))
    for turn in range(5_000):  # a title that says which request it is
        bounds.take(_proc(MOST_ANNOUNCED - 1, f"web: request {turn} {'x' * 400}"))
    for _ in range(20):
        bounds.take({"k": "more", "x": [[1, 1, 0, [0] * 200]] * MOST_PROCESSES})
        bounds.take(_tick("system.psi"))


ENDLESS: Mapping[str, tuple[Callable[[int], list[Mapping[str, Any]]], str]] = {
    "births": (lambda n: [_proc(n), _exit(n)], "more than 250,000 processes in one run"),
    "births without an end": (lambda n: [_proc(n)], "more than 8,192 processes at a time"),
    "commands": (lambda n: [_proc(n, "x" * 4096), _exit(n)], "command lines without end"),
    "metrics of a sweep": (lambda n: [_tick(f"system.{n}")], "more than 10,000 kinds of values"),
    "long names": (lambda n: [_tick(f"{n}{'x' * 60_000}")], "more than 10,000 kinds of values"),
    "names": (lambda n: [{"k": "names", "set": 0, "names": [f"a.{n}"]}], "more than 10,000 kinds of values"),
    "sets of names": (lambda n: [{"k": "names", "set": n, "names": []}], "more than 10,000 kinds of values"),
    "columns": (lambda n: [{"k": "hello", "columns": [f"a.{n}"]}], "more than 10,000 kinds of values"),
    "last values": (
        lambda n: [{"k": "exit", "pid": 1, "start": 1, "last": {f"a.{n}": 1}}],
        "more than 10,000 kinds of values",
    ),
    "values without a sweep": (
        lambda _: [{"k": "more", "x": [[1, 1, 0, [0] * 1000]] * 100}],
        "values without end between two sweeps",
    ),
    "facts": (lambda n: [{"k": "settings", "facts": {f"kernel.{n}": 1}}], "more than 10,000 facts"),
    "long facts": (lambda n: [{"k": "settings", "facts": {f"kernel.{n}": "x" * 60_000}}], "more than 10,000 facts"),
    "mapped files": (
        lambda n: [{"k": "files", "rows": [[f"/srv/{n}{'x' * 60_000}", 1, 1, 1]]}],
        "more than 2,000,000 events of processes",
    ),
    "runtimes": (
        lambda _: [{"k": "runtime", "facts": {"version": "x" * 60_000}}, {"k": "pause"}],
        "more than 2,000,000 events of processes",
    ),
    "types": (lambda n: [{"k": "types", "rows": [[f"T{n}.{row}", 1, 1] for row in range(1000)]}], "100,000 types"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_whatever_comes_without_end_ends_with_words(kind: str) -> None:
    says, told = ENDLESS[kind]
    bounds = Bounds("web-1")
    messages = chain.from_iterable(map(says, range(MOST_ANNOUNCED + 1)))
    with pytest.raises(TargetError) as caught:
        deque(map(bounds.take, messages), 0)
    assert caught.value.message.startswith("web-1 says more than is kept of one host: ")
    assert told in caught.value.message
    assert caught.value.exit_code == EXIT_TARGET
    assert "what was recorded until then is kept" in (caught.value.hint or "")


def test_a_fact_said_anew_counts_once() -> None:
    bounds = Bounds("web-1")
    for number in range(20_000):
        bounds.take({"k": "settings", "facts": {"kernel.thp": "x" * 1000 + str(number)}})
