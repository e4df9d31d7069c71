"""/proc/meminfo."""

from __future__ import annotations

from pathlib import Path

from harness.sampling.sources import meminfo


def test_captured(captured: Path) -> None:
    text = (captured / "meminfo").read_bytes()
    values = meminfo.parse(text)
    total = int(next(line for line in text.splitlines() if line.startswith(b"MemTotal")).split()[1])
    assert values["system.meminfo.MemTotal"] == total * 1024
    assert {"system.meminfo.MemAvailable", "system.meminfo.SReclaimable", "system.meminfo.Active(anon)"} <= set(values)


def test_constants_and_counts_of_pages_are_left_out(linux_4_9: Path) -> None:
    names = {name.removeprefix("system.meminfo.") for name in meminfo.parse((linux_4_9 / "meminfo").read_bytes())}
    assert not {n for n in names if n.startswith(("HugePages_", "DirectMap", "Vmalloc"))} - {"VmallocUsed"}
    assert "AnonHugePages" in names


def test_unknown_lines_do_no_harm() -> None:
    assert meminfo.parse(b"New: 12 MB\nNewer: x kB\n: 1 kB\nMemFree: 2 kB\nrubbish") == {"system.meminfo.MemFree": 2048}
