"""/proc/loadavg."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import loadavg


def test_hundredths(linux_4_9: Path) -> None:
    assert loadavg.parse((linux_4_9 / "loadavg").read_bytes()) == {
        "system.loadavg.1m": 1204,
        "system.loadavg.5m": 150,
        "system.loadavg.15m": 8,
        "system.loadavg.runnable": 6,
        "system.loadavg.total": 412,
    }


def test_captured(captured: Path) -> None:
    assert len(loadavg.parse((captured / "loadavg").read_bytes())) == 5


def test_what_is_cut_off_is_unknown() -> None:
    assert loadavg.parse(b"0.16 0.12 0.08 2/1") == {}
