"""Which file is walked, whose turn it is, and what is said when it may not be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.sampling.budget import Account
from harness.sampling.missing import MissingSignals
from harness.sampling.protocol import Identity
from harness.sampling.reading import ProcessFiles
from harness.sampling.sources import pid_stat
from harness.sampling.tree import Followed
from harness.sampling.walker import Walker, choose, stall_share


def follow(mount: Path, pid: int) -> Followed:
    stat = pid_stat.read(str(mount), pid)
    assert stat is not None
    return Followed(Identity(pid, stat.start_ticks), stat, "app", ProcessFiles(str(mount), pid, keep=False))


class Said:
    """Collects missing lines."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.missing = MissingSignals(self._lines.append)

    @property
    def signals(self) -> dict[str, str]:
        return {m["signal"]: m["reason"] for m in map(json.loads, self._lines)}


def test_rollup(captured: Path, specimen: dict[str, int]) -> None:
    said = Said()
    process = follow(captured, specimen["master"])
    walk = Walker(str(captured), said.missing).walk(process, 5)
    assert walk is not None
    assert walk.pss == 2245 * 1024
    assert process.account is not None
    assert (process.walked_ns, process.walk_mark) == (5, process.mark)
    assert said.signals == {}


def test_smaps_where_there_is_no_rollup(linux_4_9: Path) -> None:
    said = Said()
    walker = Walker(str(linux_4_9), said.missing)
    for pid in (4190100, 4190101):
        walk = walker.walk(follow(linux_4_9, pid), 0)
        assert walk is not None
        assert walk.pss == 4888 * 1024
    assert said.signals == {"process.memory.pss_anon": "the kernel is older than 4.14"}


def test_parts_of_pss_missing(linux_4_19: Path) -> None:
    said = Said()
    assert Walker(str(linux_4_19), said.missing).walk(follow(linux_4_19, 4190200), 0) is not None
    assert said.signals == {"process.memory.pss_anon": "the kernel is older than 5.3"}


def test_a_process_that_vanishes_does_not_look_like_an_old_kernel(
    captured: Path, specimen: dict[str, int], tmp_path: Path
) -> None:
    proc = Path(shutil.copytree(captured, tmp_path / "proc"))
    gone, stays = follow(proc, specimen["awkward"]), follow(proc, specimen["master"])
    shutil.rmtree(proc / str(specimen["awkward"]))
    said = Said()
    walker = Walker(str(proc), said.missing)
    assert walker.walk(gone, 0) is None
    walk = walker.walk(stays, 0)
    assert walk is not None
    assert walk.pss_anon is not None
    assert said.signals == {}


def test_unreadable_is_said_once_with_the_way_out(captured: Path, specimen: dict[str, int], tmp_path: Path) -> None:
    proc = Path(shutil.copytree(captured, tmp_path / "proc"))
    rollup = proc / str(specimen["master"]) / "smaps_rollup"
    rollup.unlink()
    rollup.symlink_to(rollup)  # an error that root gets too
    said = Said()
    assert Walker(str(proc), said.missing).walk(follow(proc, specimen["master"]), 0) is None
    assert str(rollup) in said.signals["process.memory.pss"]
    assert "root" in said.signals["process.memory.pss"]


SECOND = 1_000_000_000


def walked(pid: int, cost_ns: int, *, moved: bool, at_ns: int = 0) -> Followed:
    stat = pid_stat.parse(b"1 (x) S 1 1 1 0 -1 0 50 0 0 0 1 1 0 0 20 0 1 0 5 100 9")
    assert stat is not None
    process = Followed(Identity(pid, 1), stat, "app", ProcessFiles("/nowhere", 7, keep=False))
    process.account = Account(pid, cost_ns)
    process.account.saved_ns = 0.0
    process.walked_ns = at_ns
    process.walk_mark = (9, 49, 0) if moved else process.mark
    return process


def test_all_are_walked_while_the_budget_covers_it() -> None:
    processes = [walked(1, 100, moved=False), walked(2, 100, moved=True)]
    assert choose(processes, 1000, SECOND) == set(processes)


def test_when_it_does_not_the_idle_ones_wait() -> None:
    idle, busy = walked(1, 800, moved=False), walked(2, 800, moved=True)
    assert choose([idle, busy], 1000, SECOND) == {busy}


def test_a_process_that_a_walk_would_hold_up_for_long_is_spared_whatever_the_budget() -> None:
    large, small = walked(1, 100, moved=True), walked(2, 100, moved=True)
    large.stall_ns = 20_000_000  # two thousandths of ten seconds
    share = stall_share(0.01)
    assert choose([large, small], 10**9, 9 * SECOND, share) == {small}
    assert choose([large, small], 10**9, 10 * SECOND, share) == {large, small}
    assert choose([large, small], 10**9, SECOND, stall_share(0.2)) == {large, small}, (
        "whoever pays for more may get more"
    )


def test_but_not_for_ever() -> None:
    idle = walked(1, 800, moved=False)
    other = walked(2, 10**9, moved=True)
    assert choose([idle, other], 2000, 29 * SECOND) == set()
    assert choose([idle, other], 2000, 31 * SECOND) == {idle}


def test_and_not_that_long_when_somebody_was_born_or_ended_who_may_share_its_pages() -> None:
    idle = walked(1, 800, moved=False, at_ns=5 * SECOND)
    other = walked(2, 10**9, moved=True)
    assert choose([idle, other], 2000, 14 * SECOND, changed_ns=6 * SECOND) == set()
    assert choose([idle, other], 2000, 16 * SECOND, changed_ns=6 * SECOND) == {idle}
    assert choose([idle, other], 2000, 16 * SECOND, changed_ns=4 * SECOND) == set()


def test_the_unseen_are_always_walked() -> None:
    new = walked(1, 1, moved=True)
    new.account = None
    assert choose([new, walked(2, 10**9, moved=True)], 0, SECOND) == {new}


@pytest.mark.parametrize("field", ["rss_pages", "minor_faults", "major_faults"])
def test_any_counter_that_moved_counts_as_moved(field: str) -> None:
    process = walked(1, 800, moved=False)
    before = process.mark
    process.stat = process.stat._replace(**{field: 12345})
    assert process.mark != before
