"""/proc/PID/oom_score and oom_score_adj."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.sampling.sources import pid_oom_score
from harness.sampling.sources.pid_oom_score import OomScore


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"0\n", 0),
        (b"-1000\n", -1000),
        (b"1000\n", 1000),
        (b"-1001\n", None),
        (b"1001", None),
        (b"--1", None),
        (b"", None),
        (b"-", None),
    ],
)
def test_adjustment(data: bytes, value: int | None) -> None:
    assert pid_oom_score.parse_adjustment(data) == value


def test_score() -> None:
    assert pid_oom_score.parse_score(b"667\n") == 667
    assert pid_oom_score.parse_score(b"x\n") is None


def test_live() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        Path(f"/proc/{child.pid}/oom_score_adj").write_text("500")
        found = pid_oom_score.read("/proc", child.pid)
    assert found.adjustment == 500
    assert found.score is not None
    assert found.score >= 500


def test_gone() -> None:
    with pytest.raises(FileNotFoundError):
        pid_oom_score.read("/proc", 2**22 + 1)


def test_both_from_the_mount(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "oom_score").write_text("12\n")
    (tmp_path / "7" / "oom_score_adj").write_text("-17\n")
    assert pid_oom_score.read(str(tmp_path), 7) == OomScore(12, -17)
