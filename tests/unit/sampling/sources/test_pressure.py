"""/proc/pressure/memory."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import pressure


def test_units() -> None:
    data = (
        b"some avg10=0.12 avg60=0.05 avg300=0.01 total=127304\nfull avg10=100.00 avg60=0.00 avg300=0.00 total=61002\n"
    )
    assert pressure.parse(data) == {
        "system.psi.memory.some_avg10": 12,
        "system.psi_total.memory.some": 127_304_000,
        "system.psi.memory.full_avg10": 10_000,
        "system.psi_total.memory.full": 61_002_000,
    }


def test_captured(captured: Path) -> None:
    assert len(pressure.parse((captured / "pressure" / "memory").read_bytes())) == 4


def test_only_some() -> None:
    assert set(pressure.parse(b"some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nmore avg10=2.00 total=2\n")) == {
        "system.psi.memory.some_avg10",
        "system.psi_total.memory.some",
    }
