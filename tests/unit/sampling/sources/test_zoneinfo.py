"""/proc/zoneinfo."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import zoneinfo

DMA32 = "system.zoneinfo.0.DMA32."


def test_captured(captured: Path) -> None:
    values = zoneinfo.parse((captured / "zoneinfo").read_bytes())
    assert {name.split(".")[3] for name in values} == {"DMA", "DMA32", "Normal"}  # Movable and Device hold no memory
    fields = {name.removeprefix(DMA32) for name in values if name.startswith(DMA32)}
    assert fields == {"free", "boost", "min", "low", "high", "managed"}
    assert values[DMA32 + "min"] < values[DMA32 + "low"] < values[DMA32 + "high"] < values[DMA32 + "managed"]


def test_captured_free_pages_are_those_of_the_free_lists(captured: Path) -> None:
    text = (captured / "zoneinfo").read_text()
    values = zoneinfo.parse(text.encode())
    free = [int(line.split()[1]) for line in text.splitlines() if line.startswith("      nr_free_pages ")]
    assert [values[f"system.zoneinfo.0.{zone}.free"] for zone in ("DMA", "DMA32", "Normal")] == free[:3]


def test_two_nodes_without_boost(linux_4_9: Path) -> None:
    values = zoneinfo.parse((linux_4_9 / "zoneinfo").read_bytes())
    assert {name.removeprefix(DMA32): value for name, value in values.items() if name.startswith(DMA32)} == {
        "free": 41210, "min": 6490, "low": 8112, "high": 9734, "managed": 772912,
    }  # fmt: skip
    assert values["system.zoneinfo.1.Normal.free"] == 12873
    assert not [name for name in values if "Movable" in name]
