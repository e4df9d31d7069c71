"""main_arena and mp_ in stretches of words."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.outside.glibc.shape import BIN_PAIRS, bins, parameters

BASE = 0x7F00_0000_0000
HEAP = 0x5555_0000_0000


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def arena(at: int, used: dict[int, int]) -> list[int]:
    """254 words of bins that stand at an address; ``used``: number of the list -> address of a chunk in it."""
    out = []
    for k in range(BIN_PAIRS):
        out += [used.get(k, at + 16 * k - 16)] * 2
    return out


def test_bins_are_found_where_they_are_and_nowhere_else() -> None:
    before = [BASE, 1 << 40, 0, 7, 9]
    at = BASE + 8 * len(before)
    data = words(*before, *arena(at, {0: HEAP, 5: HEAP + 640, 90: HEAP + 9000}), 0, 0, 0, 0)
    assert bins(data, BASE) == [at]
    assert bins(data[: 8 * (len(before) + 2 * BIN_PAIRS - 1)], BASE) == []


def test_lists_whose_ends_disagree_are_no_bins() -> None:
    content = arena(BASE, {3: HEAP})
    content[6] = BASE + 16 * 3 - 16  # one end says empty, the other does not
    assert bins(words(*content), BASE) == []
    assert bins(words(*arena(BASE, dict.fromkeys(range(BIN_PAIRS), HEAP))), BASE) == []  # none empty: not malloc's


def mp(mmapped: int, peak: int, number: int, hp_flags: bool) -> bytes:
    counters = struct.pack("<4i", number, 65536, number + 2, 0)
    counters = struct.pack("<i", 0) + counters + bytes(4) if hp_flags else counters
    return words(131072, 131072, 131072, 8, 0, 0, 0) + counters + words(mmapped, peak, HEAP, 64, 1032)


def test_parameters_of_both_layouts() -> None:
    for hp_flags in (False, True):
        data = mp(4096 * 300, 4096 * 500, 3, hp_flags)
        assert [(p.mmapped_at - BASE, p.sbrk_base) for p in parameters(data, BASE, HEAP)] == [(len(data) - 40, HEAP)]
        assert parameters(data, BASE, HEAP + (1 << 20)) == []
        assert parameters(mp(0, 4096, 3, hp_flags), BASE, HEAP) == []  # three blocks of nothing
        assert parameters(mp(8192, 4096, 3, hp_flags), BASE, HEAP) == []  # above its own peak


@given(st.binary(max_size=4096), st.integers(0, 1 << 47))
def test_any_bytes(data: bytes, address: int) -> None:
    assert all(address <= at < address + len(data) for at in bins(data, address))
    assert all(address <= p.mmapped_at < address + len(data) for p in parameters(data, address, HEAP))
