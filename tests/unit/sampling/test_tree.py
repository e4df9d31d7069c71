"""Who is followed: forks, exits, reused pids, exclusion, pools."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.sampling import tree as tree_module
from harness.sampling.discovery import Rule
from harness.sampling.protocol import Root
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

    return Tree(str(mount), exclude, ourselves, full)


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
    assert tree.refresh(0, everything=False) == []
    assert pids(tree) == {specimen[n] for n in ("master", "awkward", "threaded", "grandchild", "memory")}
    assert {p.pool for p in tree} == {"app"}


def test_a_root_that_is_not_there(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(4190999, "app"))
    assert tree.refresh(0, everything=True) == []
    assert len(tree) == 0


def test_a_fork_and_an_exit(proc: Path) -> None:
    shutil.move(proc / str(WORKER), proc / "later")
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    assert pids(tree) == {MASTER}
    shutil.move(proc / "later", proc / str(WORKER))
    assert tree.refresh(1, everything=False) == []
    assert pids(tree) == {MASTER, WORKER}
    shutil.rmtree(proc / str(WORKER))
    assert [p.who.pid for p in tree.refresh(2, everything=False)] == [WORKER]
    assert pids(tree) == {MASTER}


def test_becoming_a_zombie_is_the_end_and_is_told_once(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    set_stat(proc, WORKER, 0, "Z")
    assert [p.who.pid for p in tree.refresh(1, everything=False)] == [WORKER]
    assert tree.refresh(2, everything=True) == []
    assert pids(tree) == {MASTER}


def test_a_reused_pid_is_another_process(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    set_stat(proc, WORKER, 19, "999000")
    ended = tree.refresh(1, everything=False)
    assert [(p.who.pid, p.who.start_ticks) for p in ended] == [(WORKER, 5111)]
    assert {p.who.start_ticks for p in tree if p.who.pid == WORKER} == {999000}  # still a child of the master
    set_stat(proc, WORKER, 19, "999500")
    set_stat(proc, WORKER, 1, "1")
    assert len(tree.refresh(2, everything=False)) == 1
    assert pids(tree) == {MASTER}  # reused by a stranger


def test_a_daemon_stays_when_its_parent_ends(proc: Path) -> None:
    tree = make(proc)
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    shutil.rmtree(proc / str(MASTER))
    set_stat(proc, WORKER, 1, "1")
    assert [p.who.pid for p in tree.refresh(1, everything=False)] == [MASTER]
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
    tree = Tree(str(proc), NOBODY, NOBODY, lambda: complaints.append("full"))
    tree.add_root(Root(MASTER, "app"))
    tree.refresh(0, everything=False)
    assert pids(tree) == {MASTER}
    assert complaints
