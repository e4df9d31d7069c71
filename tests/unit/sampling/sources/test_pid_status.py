"""/proc/PID/status."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import pid_status
from harness.sampling.sources.pid_status import PidStatus


def test_captured(captured: Path, specimen: dict[str, int]) -> None:
    assert pid_status.read(str(captured), specimen["master"]) == PidStatus(uid=0, hwm_bytes=10024 * 1024, swap_bytes=0)


def test_a_zombie_says_nothing_of_memory(captured: Path, specimen: dict[str, int]) -> None:
    assert pid_status.read(str(captured), specimen["zombie"]) == PidStatus(uid=0, hwm_bytes=None, swap_bytes=None)


def test_the_real_uid_counts() -> None:
    assert pid_status.parse(b"Name:\tx\nUid:\t33\t0\t0\t0\nVmSwap:\t       8 kB\n") == PidStatus(33, None, 8192)


def test_a_name_cannot_pose_as_a_field() -> None:
    assert pid_status.parse(b"Name:\tx\\nVmHWM:\t 9 kB\nVmHWM:\t      12 kB\n").hwm_bytes == 12 * 1024
