"""Who is followed: forks, exits, reused pids, exclusion, pools."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.sampling import tree as tree_module
from harness.sampling.discovery import Rule
from harness.sampling.lifecycle import Changes, no_events
from harness.sampling.protocol import Root
from harness.sampling.sources.proc_events import Exit, Fork
from harness.sampling.sources.taskstats import ExitStats
from harness.sampling.tree import Tree

NOBODY: frozenset[int] = frozenset()
MASTER, WORKER, OTHER = 4190100, 4190101, 4190150


@pytest.fixture
def proc(linux_4_9: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(linux_4_9, tmp_path / "proc"))


def make(mount: Path, exclude: frozenset[int] = NOBODY, ourselves: frozenset[int] = NOBODY) -> Tree:
    def full() -> None:
        raise AssertionError("no tree here is full")

    return Tree(str(mount), exclude, ourselves, full, no_events)


def pids(tree: Tree) -> set[int]:
    return {p.who.pid for p in tree}


def set_stat(proc: Path, pid: int, position: int, value: str) -> None:
    path = proc / str(pid) / "stat"
    head, _, tail = path.read_text().rpartition(")")
    fields = tail.split()
    fields[position] = value
    path.write_text(f"{head}) {' '.join(fields)}\n")


def test_a_root_and_all_below_it_but_no_zombie(captured: Path, specimen: dict[str, int]) -> None:
    tree = make(captured)
    tree.add_root(Root(specimen["master"], "app"))
    assert tree.refresh(0, everything=False).ended == []
    assert pids(tree) == {specimen[n] for n in ("master", "awkward", "threaded", "grandchild", "memory")}
    assert {p.pool for p in tree} == {"app"}


def test_a_root_that_is_not_there(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(4190999, "app"))
    assert tree.refresh(0, everything=True).ended == []
    assert len(tree) == 0


def test_a_fork_and_an_exit(proc: Path) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    assert pids(tree) == {MASTER}
    shutil.move(proc / "later", proc / str(WORKER))
    assert tree.refresh(1, everything=False).ended == []
    assert pids(tree) == {MASTER, WORKER}
    shutil.rmtree(proc / str(WORKER))
    assert [e.process.who.pid for e in tree.refresh(2, everything=False).ended] == [WORKER]
    assert pids(tree) == {MASTER}


def test_becoming_a_zombie_is_the_end_and_is_told_once(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    set_stat(proc, WORKER, 0, "Z")
    assert [e.process.who.pid for e in tree.refresh(1, everything=False).ended] == [WORKER]
    assert tree.refresh(2, everything=True).ended == []
    assert pids(tree) == {MASTER}


def test_a_reused_pid_is_another_process(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    set_stat(proc, WORKER, 19, "999000")
    ended = tree.refresh(1, everything=False).ended
    assert [(e.process.who.pid, e.process.who.start_ticks) for e in ended] == [(WORKER, 5111)]
    assert {p.who.start_ticks for p in tree if p.who.pid == WORKER} == {999000}  # still a child of the master
    set_stat(proc, WORKER, 19, "999500")
    set_stat(proc, WORKER, 1, "1")
    assert len(tree.refresh(2, everything=False).ended) == 1
    assert pids(tree) == {MASTER}  # reused by a stranger


def test_a_daemon_stays_when_its_parent_ends(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    shutil.rmtree(proc / str(MASTER))
    set_stat(proc, WORKER, 1, "1")
    assert [e.process.who.pid for e in tree.refresh(1, everything=False).ended] == [MASTER]
    (worker,) = tree
    assert worker.who.pid == WORKER
    assert worker.ppid == MASTER  # as first seen
    tree.refresh(2, everything=False)
    assert pids(tree) == {WORKER}


def test_matching_processes_and_their_children(proc: Path) -> None:
    tree = make(proc)
    tree.add_rule(Rule("fpm", "master process"))
    tree.refresh(0, everything=False)
    assert {(p.who.pid, p.pool) for p in tree} == {(MASTER, "fpm"), (WORKER, "fpm")}


def test_the_excluded_are_neither_sampled_nor_descended_into(proc: Path) -> None:
    tree = make(proc, exclude=frozenset({WORKER}))
    tree.add_root(Root(MASTER, "app"))
    tree.add_rule(Rule("fpm", "php-fpm"))
    tree.refresh(0, everything=True)
    assert pids(tree) == {MASTER}


def test_an_explicit_root_wins_over_exclusion(proc: Path) -> None:
    tree = make(proc, exclude=frozenset({MASTER}))
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    assert pids(tree) == {MASTER, WORKER}


def test_we_and_what_started_us_never_match(proc: Path) -> None:
    tree = make(proc, ourselves=frozenset({WORKER}))
    tree.add_rule(Rule("fpm", ""))  # everything
    tree.refresh(0, everything=True)
    assert pids(tree) == {OTHER}


def test_a_root_may_be_given_another_pool(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    tree.add_root(Root(WORKER, "second"))
    tree.refresh(1, everything=False)
    assert {p.who.pid: p.pool for p in tree} == {MASTER: "app", WORKER: "second"}


def test_the_number_of_processes_is_bounded(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MOST_PROCESSES", 1)
    complaints = []
    tree = Tree(str(proc), NOBODY, NOBODY, lambda: complaints.append("full"), no_events)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    assert pids(tree) == {MASTER}
    assert complaints


class Events:
    """What the kernel told since the last refresh, as a test has put it there."""

    def __init__(self) -> None:
        self.next = Changes([], {}, {}, complete=True)

    def __call__(self) -> Changes:
        now, self.next = self.next, Changes([], {}, {}, complete=True)
        return now


@pytest.fixture
def events() -> Events:
    return Events()


def with_events(proc: Path, events: Events) -> Tree:
    tree = Tree(str(proc), NOBODY, NOBODY, lambda: None, events)
    tree.add_root(Root(MASTER, "app"))
    return tree


def test_with_events_a_child_is_followed_when_its_fork_is_told(proc: Path, events: Events) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.move(proc / "later", proc / str(WORKER))
    tree.refresh(1, everything=False)
    assert pids(tree) == {MASTER}, "nobody told of it, so nobody looked"
    events.next = Changes([Fork(2, MASTER, WORKER)], {}, {}, complete=True)
    tree.refresh(2, everything=False)
    assert pids(tree) == {MASTER, WORKER}


def test_when_events_were_lost_the_tree_is_looked_at(proc: Path, events: Events) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.move(proc / "later", proc / str(WORKER))
    events.next = Changes([], {}, {}, complete=False)
    tree.refresh(1, everything=False)
    assert pids(tree) == {MASTER, WORKER}


def test_a_process_that_came_and_went_is_told_with_its_account(proc: Path, events: Events) -> None:
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    brief, below = 4190777, 4190778
    account = ExitStats(below, b"convert", 33, 5 << 20, 40_000_000, 900, 0)
    events.next = Changes(
        [Fork(10, MASTER, brief), Fork(11, brief, below), Fork(12, 1, 99)],
        {brief: Exit(20, brief, 0, None), below: Exit(19, below, None, 9), 99: Exit(20, 99, 0, None)},
        {below: account},
        complete=True,
    )
    found = {b.pid: b for b in tree.refresh(1, everything=False).brief}
    assert set(found) == {brief, below}
    assert (found[below].pool, found[below].parent, found[below].born_ns) == ("app", brief, 11)
    assert found[below].exit == Exit(19, below, None, 9)
    assert found[below].account == account
    assert found[brief].account is None


def test_who_ended_between_the_events_and_the_look_is_told_next_time_and_its_child_is_not_lost(
    proc: Path, events: Events
) -> None:
    """A program that daemonises: its first child ends at once, and the second belongs to init."""
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    first = 4190777
    events.next = Changes([Fork(10, MASTER, first)], {}, {}, complete=True)
    assert tree.refresh(1, everything=False).brief == [], "how it ended is not known yet"
    shutil.move(proc / "later", proc / str(WORKER))
    events.next = Changes([Fork(11, first, WORKER)], {first: Exit(12, first, 0, None)}, {}, complete=True)
    (brief,) = tree.refresh(2, everything=False).brief
    assert (brief.pid, brief.parent, brief.pool, brief.born_ns, brief.exit.t_ns) == (first, MASTER, "app", 10, 12)
    assert pids(tree) == {MASTER, WORKER}
    events.next = Changes([Fork(20, first, 4190778)], {4190778: Exit(21, 4190778, 0, None)}, {}, complete=True)
    assert tree.refresh(3, everything=False).brief == [], "its pid may be somebody else's by now"


def test_the_child_of_a_followed_process_that_ended_right_after_the_fork(proc: Path, events: Events) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.rmtree(proc / str(MASTER))
    events.next = Changes([], {}, {}, complete=True)
    tree.refresh(1, everything=False)
    shutil.move(proc / "later", proc / str(WORKER))
    events.next = Changes([Fork(11, MASTER, WORKER)], {MASTER: Exit(12, MASTER, 0, None)}, {}, complete=True)
    tree.refresh(2, everything=False)
    assert pids(tree) == {WORKER}


def test_an_exit_of_the_pids_former_owner_is_not_that_of_its_next(proc: Path, events: Events) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.move(proc / "later", proc / str(WORKER))
    events.next = Changes([Fork(30, MASTER, WORKER)], {WORKER: Exit(20, WORKER, 0, None)}, {}, complete=True)
    assert tree.refresh(1, everything=False).brief == []
    assert pids(tree) == {MASTER, WORKER}


def test_an_end_comes_with_how_the_kernel_told_it(proc: Path, events: Events) -> None:
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.rmtree(proc / str(WORKER))
    events.next = Changes([], {WORKER: Exit(7, WORKER, None, 11)}, {}, complete=True)
    (ended,) = tree.refresh(1, everything=False).ended
    assert (ended.process.who.pid, ended.exit) == (WORKER, Exit(7, WORKER, None, 11))


def test_a_process_whose_first_thread_ended_before_the_others_is_followed(proc: Path, events: Events) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = with_events(proc, events)
    tree.refresh(0, everything=False)
    shutil.move(proc / "later", proc / str(WORKER))
    set_stat(proc, WORKER, 0, "Z")
    set_stat(proc, WORKER, 17, "3")  # threads
    events.next = Changes([Fork(10, MASTER, WORKER)], {WORKER: Exit(20, WORKER, 0, None)}, {}, complete=True)
    assert tree.refresh(1, everything=False).brief == []
    assert pids(tree) == {MASTER, WORKER}
