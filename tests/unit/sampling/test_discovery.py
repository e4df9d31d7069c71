"""Children by two ways, and processes by their command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.sampling.discovery import Children, Matcher, Rule, all_pids, ancestors


@pytest.mark.parametrize("threads", [0, 1_000_000], ids=["by children files", "by one pass over all processes"])
def test_both_ways_find_the_same(captured: Path, specimen: dict[str, int], threads: int) -> None:
    children = Children(str(captured))
    children.begin(threads, specimen["master"])
    assert set(children.of(specimen["master"], 1)) == {specimen[n] for n in ("awkward", "threaded", "memory", "zombie")}
    assert list(children.of(specimen["threaded"], 2)) == [specimen["grandchild"]]
    assert list(children.of(specimen["awkward"], 1)) == []
    assert list(children.of(999_999_999, 1)) == []


def test_without_children_files(linux_4_9: Path) -> None:
    children = Children(str(linux_4_9))
    children.begin(1, 4190100)
    assert list(children.of(4190100, 1)) == [4190101]


def test_ancestors(captured: Path, specimen: dict[str, int]) -> None:
    chain = ancestors(str(captured), specimen["grandchild"])
    assert {specimen["grandchild"], specimen["threaded"], specimen["master"]} <= chain
    assert specimen["awkward"] not in chain


def test_no_mount_point_no_processes(tmp_path: Path) -> None:
    assert all_pids(str(tmp_path / "none")) == []


@pytest.fixture
def tree(linux_4_9: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(linux_4_9, tmp_path / "proc"))


def test_match(tree: Path) -> None:
    matcher = Matcher(str(tree))
    matcher.add(Rule("web", "pool www"))
    matcher.add(Rule("all", "php-fpm"))
    assert sorted(matcher.look((), 0, everything=False)) == [(4190100, "all"), (4190101, "web")]


def test_what_is_followed_is_not_looked_at_again(tree: Path) -> None:
    matcher = Matcher(str(tree))
    matcher.add(Rule("all", "php-fpm"))
    assert matcher.look({4190100, 4190101}, 0, everything=True) == []


def test_no_rule_no_look(tmp_path: Path) -> None:
    assert Matcher(str(tmp_path)).look((), 0, everything=True) == []


def test_a_new_process_is_seen_at_once_a_new_title_within_seconds_or_at_a_floor(tree: Path) -> None:
    matcher = Matcher(str(tree))
    matcher.add(Rule("web", "pool new"))
    second = 1_000_000_000
    assert matcher.look((), 0, everything=False) == []
    (tree / "4190150" / "cmdline").write_bytes(b"php-fpm: pool new\0")
    assert matcher.look((), second // 10, everything=False) == []
    shutil.copytree(tree / "4190150", tree / "4190151")
    assert matcher.look((), second // 5, everything=False) == [(4190151, "web")]
    assert matcher.look({4190151}, second // 4, everything=True) == [(4190150, "web")]
    assert matcher.look({4190151}, 100 * second, everything=False) == [(4190150, "web")]
