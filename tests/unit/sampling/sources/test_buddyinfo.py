"""/proc/buddyinfo."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import buddyinfo


def test_captured(captured: Path) -> None:
    values = buddyinfo.parse((captured / "buddyinfo").read_bytes())
    assert values["system.buddyinfo.0.DMA32.10"] == 751
    assert values["system.buddyinfo.0.Normal.0"] == 490
    assert len(values) == 33


def test_two_nodes(linux_4_9: Path) -> None:
    values = buddyinfo.parse((linux_4_9 / "buddyinfo").read_bytes())
    assert values["system.buddyinfo.0.DMA32.0"] == 2912
    assert values["system.buddyinfo.1.Normal.10"] == 12
