from __future__ import annotations

import pytest

from harness.diagnose.buddy import HUGE_ORDER, Zone, unusable_share, zones_of


def test_unusable_free_space_counts_what_lies_in_smaller_blocks() -> None:
    zone = Zone("0 Normal", (4, 2, 1))  # 4 + 4 + 4 pages
    assert zone.free_pages == 12
    assert zone.unusable(0) == 0
    assert zone.unusable(1) == pytest.approx(4 / 12)
    assert zone.unusable(2) == pytest.approx(8 / 12)
    assert zone.unusable(3) == 1


def test_the_index_tells_pieces_from_lack_of_memory() -> None:
    assert Zone("", (4, 2, 1)).index(2) == -1  # it would succeed
    in_pieces = Zone("", (100_000,) + (0,) * 10).index(HUGE_ORDER)
    short = Zone("", (10,) + (0,) * 10).index(HUGE_ORDER)
    assert in_pieces is not None
    assert short is not None
    # mm/vmstat.c, __fragmentation_index(): 1000 - (1000 + free_pages * 1000 / requested) / free_blocks_total
    assert in_pieces == pytest.approx(1 - (1 + 100_000 / 512) / 100_000)
    assert short == pytest.approx(1 - (1 + 10 / 512) / 10)
    assert in_pieces > short


def test_nothing_free_has_no_index() -> None:
    empty = Zone("", (0, 0, 0))
    assert empty.unusable(1) is None
    assert empty.index(1) is None
    assert unusable_share([], 1) is None


def test_zones_are_read_from_metrics_and_weighed_by_what_is_free() -> None:
    values = {
        "system.buddyinfo.0.DMA.0": 1,
        "system.buddyinfo.0.DMA.1": 0,
        "system.buddyinfo.0.Normal.0": 10,
        "system.buddyinfo.0.Normal.1": 45,
        "system.buddyinfo.1.Normal.0": 0,
        "system.meminfo.MemFree": 5,
    }
    zones = zones_of(values)
    assert [z.name for z in zones] == ["0 Normal", "0 DMA"]
    assert zones[0].blocks == (10, 45)
    assert unusable_share(zones, 1) == pytest.approx((10 + 1) / (100 + 1))
