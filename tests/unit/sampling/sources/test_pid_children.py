"""task/*/children."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.sampling.sources import pid_children


def test_parse() -> None:
    assert pid_children.parse(b"12 13 4190100 ") == [12, 13, 4190100]
    assert pid_children.parse(b"") == []
    assert pid_children.parse(b"12 x -3 0") == [12]


def test_children_of_the_leader(captured: Path, specimen: dict[str, int]) -> None:
    found = pid_children.read(str(captured), specimen["master"], threads=1)
    assert set(found) == {specimen[n] for n in ("awkward", "threaded", "memory", "zombie")}


def test_children_of_another_thread(captured: Path, specimen: dict[str, int]) -> None:
    assert pid_children.read(str(captured), specimen["threaded"], threads=2) == [specimen["grandchild"]]


def test_a_thread_that_ends_meanwhile_is_passed_over(captured: Path, specimen: dict[str, int], tmp_path: Path) -> None:
    pid = specimen["threaded"]
    shutil.copytree(captured / str(pid) / "task", tmp_path / str(pid) / "task")
    (tmp_path / str(pid) / "task" / "999999999").mkdir()
    assert pid_children.read(str(tmp_path), pid, threads=3) == [specimen["grandchild"]]


def test_availability(captured: Path, linux_4_9: Path, specimen: dict[str, int]) -> None:
    assert pid_children.available(str(captured), specimen["master"])
    assert not pid_children.available(str(linux_4_9), 4190100)
