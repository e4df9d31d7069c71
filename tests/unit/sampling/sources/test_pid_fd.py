"""Open files, counted two ways."""

from __future__ import annotations

import os
from pathlib import Path

from harness.sampling.sources import pid_fd


def test_a_directory_is_listed(captured: Path, specimen: dict[str, int]) -> None:
    expected = len(list((captured / str(specimen["master"]) / "fd").iterdir()))
    assert not pid_fd.size_is_count(str(captured))
    assert pid_fd.read(str(captured), specimen["master"], by_size=False) == expected > 0


def test_both_ways_see_a_file_being_opened() -> None:
    ways = [False, True] if pid_fd.size_is_count("/proc") else [False]
    for by_size in ways:
        before = pid_fd.read("/proc", os.getpid(), by_size)
        ends = os.pipe()
        try:
            assert pid_fd.read("/proc", os.getpid(), by_size) == before + 2
        finally:
            for end in ends:
                os.close(end)
