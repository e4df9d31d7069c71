"""/proc/buddyinfo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.sampling.sources import buddyinfo


def test_captured(captured: Path) -> None:
    values = buddyinfo.parse((captured / "buddyinfo").read_bytes())
    assert values["system.buddyinfo.0.DMA32.10"] == 751
    assert values["system.buddyinfo.0.Normal.0"] == 16
    assert len(values) == 33


def test_free_blocks_of_each_node_are_the_free_memory_of_the_node(two_nodes: Path) -> None:
    values = buddyinfo.parse((two_nodes / "buddyinfo").read_bytes())
    for node in (0, 1):
        blocks = {name: n for name, n in values.items() if name.startswith(f"system.buddyinfo.{node}.")}
        pages = sum(n << int(name.rpartition(".")[2]) for name, n in blocks.items())
        told = re.search(r"MemFree: +(\d+) kB", (two_nodes / f"sys/devices/system/node/node{node}/meminfo").read_text())
        assert told is not None
        # Single pages lie in lists of each processor, and the two files were read at two moments.
        assert pages * 4 == pytest.approx(int(told[1]), abs=4096)
