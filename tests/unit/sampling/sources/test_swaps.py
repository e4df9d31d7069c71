"""/proc/swaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.sampling.sources import swaps

HEADER = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
NONE = {"system.swap.areas.zram": 0, "system.swap.areas.partition": 0, "system.swap.areas.file": 0}


def test_no_swap_is_zero(captured: Path) -> None:
    values = swaps.parse((captured / "swaps").read_bytes())
    assert values == {**NONE, "system.swap.size": 0, "system.swap.used": 0}


def test_areas_of_all_kinds(linux_4_9: Path) -> None:
    assert swaps.parse((linux_4_9 / "swaps").read_bytes()) == {
        "system.swap.areas.zram": 1,
        "system.swap.areas.partition": 1,
        "system.swap.areas.file": 1,
        "system.swap.size": (2097148 + 1048572 + 524284) * 1024,
        "system.swap.used": (1040 + 12 + 4) * 1024,
    }


@pytest.mark.parametrize("line", [b"/x file 10\n", b"/x file ten 1 -2\n", b"/x\n"])
def test_an_area_that_cannot_be_read_leaves_no_sum(line: bytes) -> None:
    assert "system.swap.size" not in swaps.parse(HEADER + b"/dev/sda2 partition 8 0 -1\n" + line)


def test_nothing_understood() -> None:
    assert swaps.parse(b"") == {}
