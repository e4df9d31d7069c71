"""Following a log through rotation and truncation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plugins.records import LINE_CAP
from harness.store.followed import Followed


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\nhalf of")
    return path


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_only_what_comes_after_the_start_counts(log: Path) -> None:
    followed = Followed(log)
    assert followed.lines() == []
    add(log, b" a line\none\ntw")
    assert followed.lines() == [b"one"], "the line that was half there is not of this run"
    add(log, b"o\n")
    assert followed.lines() == [b"two"]
    assert followed.lines() == []
    assert followed.consumed == len(b" a line\none\ntwo\n")
    followed.close()


def test_a_rotated_log_is_read_on_both_sides(log: Path, tmp_path: Path) -> None:
    add(log, b"\n")
    followed = Followed(log)
    add(log, b"1\n")
    log.rename(tmp_path / "access.log.1")
    add(tmp_path / "access.log.1", b"2\n")  # before its writers open the new one
    assert followed.lines() == [b"1", b"2"]
    add(log, b"3\n")
    add(tmp_path / "access.log.1", b"2b\n")
    assert followed.lines() == [b"2b", b"3"]
    log.rename(tmp_path / "access.log.2")
    add(log, b"4\n")
    assert followed.lines() == [b"4"]
    followed.close()


@pytest.mark.parametrize("again", [b"x\n", b"longer than it ever was before\n" * 9])
def test_a_truncated_log_is_read_from_its_beginning(log: Path, again: bytes) -> None:
    add(log, b"\n")
    followed = Followed(log)
    add(log, b"1\n")
    assert followed.lines() == [b"1"]
    os.truncate(log, 0)
    add(log, again)
    assert followed.lines() == again.splitlines()
    followed.close()


def test_a_log_that_appears_later_is_read_whole(tmp_path: Path) -> None:
    followed = Followed(tmp_path / "log")
    assert followed.lines() == []
    add(tmp_path / "log", b"1\n2\n")
    assert followed.lines() == [b"1", b"2"]
    followed.close()


def test_what_is_no_file_is_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        followed = Followed(path)
        assert followed.lines() == []
        followed.close()


def test_a_line_without_end_is_skipped(log: Path) -> None:
    followed = Followed(log)
    add(log, b"\n" + b"x" * (LINE_CAP + 1))
    assert followed.lines() == []
    add(log, b"still it\nnext\n")
    assert followed.lines() == [b"next"]
    followed.close()


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"ROTATE", b"CUT", b"READ"]), max_size=30))
def test_whatever_happens_to_it_every_line_comes_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    path = directory / "log"
    path.touch()
    followed = Followed(path)
    written: list[bytes] = []
    found: list[bytes] = []
    line = b""
    for number, step in enumerate(steps):
        if step in (b"READ", b"ROTATE", b"CUT"):
            found += followed.lines()
        if step == b"ROTATE":
            path.rename(directory / f"old{number}")
            path.touch()
            line = b""
        elif step == b"CUT":
            os.truncate(path, 0)
            line = b""
        elif step != b"READ":
            data = b"%d%s" % (number, step)
            add(path, data)
            *whole, line = (line + data).split(b"\n")
            written += whole
    found += followed.lines()
    assert found == written
    followed.close()
