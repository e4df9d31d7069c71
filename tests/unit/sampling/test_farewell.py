"""What is said of processes that have ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.sampling import farewell
from harness.sampling.details import boot_on_monotonic_ns
from harness.sampling.farewell import Farewell
from harness.sampling.missing import MissingSignals
from harness.sampling.protocol import Identity
from harness.sampling.reading import ProcessFiles
from harness.sampling.sources import pid_stat
from harness.sampling.sources.numbers import TICK_NS
from harness.sampling.sources.proc_events import Exit
from harness.sampling.sources.taskstats import ExitStats
from harness.sampling.tree import Brief, Ended, Followed

ACCOUNT = ExitStats(7, b"con\x1bvert", 33, 5 << 20, 40_000_000, 900, 1)


class Said:
    """Collects lines."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.farewell = Farewell(MissingSignals(self._lines.append), self._lines.append)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines]


def followed() -> Followed:
    stat = pid_stat.parse(b"7 (x) S 1 1 1 0 -1 0 50 0 0 0 1 1 0 0 20 0 1 0 5 100 9")
    assert stat is not None
    return Followed(Identity(7, 5), stat, "app", ProcessFiles("/nowhere", 7, keep=False))


def test_an_end_nobody_told_of_is_that_of_the_sweep() -> None:
    said = Said()
    said.farewell.ended(Ended(followed(), None, None), 123)
    assert said.messages == [{"k": "exit", "pid": 7, "start": 5, "t": 123, "code": None, "signal": None, "last": {}}]


def test_an_end_with_its_time_reason_and_account_but_not_what_is_one_threads_alone() -> None:
    said = Said()
    said.farewell.ended(Ended(followed(), Exit(99, 7, None, 9), ACCOUNT), 123)
    (message,) = said.messages
    assert (message["t"], message["code"], message["signal"]) == (99, None, 9)
    assert message["last"] == {"process.memory.hwm": 5 << 20}


def test_a_brief_process_is_introduced_and_ends() -> None:
    said = Said()
    born_ns = boot_on_monotonic_ns() + 4321 * TICK_NS + 17
    said.farewell.brief([Brief(7, 3, "app", born_ns, Exit(born_ns + 5, 7, 1, None), ACCOUNT)])
    introduced, ended = said.messages
    assert (introduced["pid"], introduced["start"], introduced["ppid"], introduced["pool"]) == (7, 4321, 3, "app")
    assert (introduced["comm"], introduced["uid"], introduced["born"]) == ("con\\x1bvert", 33, born_ns)
    assert (ended["pid"], ended["start"], ended["code"]) == (7, 4321, 1)
    assert ended["last"] == {"process.memory.hwm": 5 << 20}, "what else the account says is of one thread"


def test_of_too_many_the_rest_is_announced_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "_MOST_BRIEF", 2)
    said = Said()
    many = [Brief(pid, 3, "app", 10**9 * pid, Exit(10**9 * pid + 1, pid, 0, None), None) for pid in range(1, 6)]
    said.farewell.brief(many)
    said.farewell.brief(many)
    assert [m["k"] for m in said.messages] == ["proc", "exit", "proc", "exit", "missing"]
    assert said.messages[-1]["signal"] == "process.brief"
