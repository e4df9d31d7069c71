"""Reading whole files, and saying why not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.sampling.reading import read_file, why


def test_all_of_a_long_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ab" * 100_000)
    assert read_file(str(tmp_path / "x")) == b"ab" * 100_000
    assert len(read_file(str(tmp_path / "x"), cap_bytes=70_001)) == 70_001


def test_a_kernel_file_has_no_size_and_is_read_all_the_same() -> None:
    assert Path("/proc/self/smaps").stat().st_size == 0
    assert read_file("/proc/self/smaps").endswith(b"\n")


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(IsADirectoryError):
        read_file(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOENT, "this kernel does not have /proc/x"),
        (errno.EACCES, "no permission to read /proc/x"),
        (errno.EOPNOTSUPP, "/proc/x exists but is turned off"),
        (errno.EIO, "/proc/x could not be read: Input/output error"),
    ],
)
def test_reasons(number: int, sentence: str) -> None:
    assert why(OSError(number, os.strerror(number)), "/proc/x") == sentence
