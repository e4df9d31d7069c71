"""/proc/stat."""

from __future__ import annotations

import os
from pathlib import Path

from harness.sampling.sources import stat

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_ticks_become_ns(linux_4_9: Path) -> None:
    values = stat.parse((linux_4_9 / "stat").read_bytes())
    assert values == {
        "system.stat.cpu.user": 4705 * TICK_NS,
        "system.stat.cpu.nice": 356 * TICK_NS,
        "system.stat.cpu.system": 584 * TICK_NS,
        "system.stat.cpu.idle": 36990 * TICK_NS,
        "system.stat.cpu.iowait": 23 * TICK_NS,
        "system.stat.cpu.irq": 4 * TICK_NS,
        "system.stat.cpu.softirq": 7 * TICK_NS,
        "system.stat.cpu.steal": 11 * TICK_NS,
        "system.stat.ctxt": 115315,
        "system.stat.processes": 86031,
        "system.stat.procs_running": 6,
        "system.stat.procs_blocked": 2,
    }


def test_captured(captured: Path) -> None:
    text = (captured / "stat").read_text()
    values = stat.parse(text.encode())
    each = [int(line.split()[1]) for line in text.splitlines() if line.startswith("cpu") and line[3] != " "]
    assert abs(values["system.stat.cpu.user"] // TICK_NS - sum(each)) <= len(each)  # each is cut to whole ticks
    assert len(values) == 12


def test_live_time_moves_on() -> None:
    before = stat.parse(Path("/proc/stat").read_bytes())
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    after = stat.parse(Path("/proc/stat").read_bytes())
    assert after["system.stat.processes"] > before["system.stat.processes"]
