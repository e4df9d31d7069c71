"""/proc/pagetypeinfo."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.sampling.sources import buddyinfo, pagetypeinfo


def test_captured(captured: Path) -> None:
    text = (captured / "pagetypeinfo").read_text()
    values = pagetypeinfo.parse(text.encode())
    (line,) = [line for line in text.splitlines() if "DMA32, type      Movable" in line]
    assert values["system.pagetypeinfo.0.DMA32.Movable.10"] == int(line.split()[-1]) > 0
    assert len(values) == 3 * 5 * 11  # zones, types, orders; the table of blocks below is not in it


@pytest.mark.parametrize("order", range(11))
def test_types_add_up_to_buddyinfo(linux_4_9: Path, order: int) -> None:
    values = pagetypeinfo.parse((linux_4_9 / "pagetypeinfo").read_bytes())
    whole = buddyinfo.parse((linux_4_9 / "buddyinfo").read_bytes())
    parts = [values[f"system.pagetypeinfo.1.Normal.{kind}.{order}"] for kind in ("Unmovable", "Movable")]
    assert sum(parts) == whole[f"system.buddyinfo.1.Normal.{order}"]


def test_a_count_that_was_cut_off_is_unknown() -> None:
    line = b"Node    0, zone   Normal, type      Movable >100000  40210      0 \n"
    assert pagetypeinfo.parse(line) == {
        "system.pagetypeinfo.0.Normal.Movable.1": 40210,
        "system.pagetypeinfo.0.Normal.Movable.2": 0,
    }
