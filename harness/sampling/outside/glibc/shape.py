"""Where ``main_arena`` and ``mp_`` are, by what they look like. Pure functions of a stretch of libc's writable data.

``struct malloc_state`` has 254 words of bins: 127 list heads (fd, bk), each head standing 16 bytes before its own fd. An empty
list points at its own head with both words, a list with chunks in it with neither. Fields around the bins keep their distance
to it in all versions from 2.31 to 2.43; the start of the struct does not (fast bins went in 2.43).
"""

from __future__ import annotations

import struct
from typing import List, NamedTuple

BIN_PAIRS = 127
_LEAST_EMPTY = 4  # of the 127, the large bins of a process are never all in use
_LOWEST_ADDRESS = 4096


class Parameters(NamedTuple):
    """``mp_``, malloc's parameters."""

    mmapped_at: int  # address of three words: mmapped_mem, max_mmapped_mem, sbrk_base
    sbrk_base: int  # where the main heap starts


def bins(data: bytes, address: int) -> List[int]:
    """Addresses at which the bins of an arena may be, in ``data`` as read from ``address``."""
    words = memoryview(data)[: len(data) & -8].cast("Q")
    found = []
    for k in range(len(words) - 2 * BIN_PAIRS + 1):
        head, empty = address + 8 * k - 16, 0
        for j in range(k, k + 2 * BIN_PAIRS, 2):
            forward, back = words[j], words[j + 1]
            if (forward == head) != (back == head) or forward < _LOWEST_ADDRESS:
                break
            empty += forward == head
            head += 16
        else:
            if empty >= _LEAST_EMPTY:
                found.append(address + 8 * k)
    return found


def parameters(data: bytes, address: int, heap: int) -> List[Parameters]:
    """``mp_`` may be here, by its pointer to the start of the heap and the plausible counters around it.

    ``heap``: where the kernel says that ``[heap]`` starts; unless addresses are randomized the two can be part of a page off.
    """
    words = memoryview(data)[: len(data) & -8].cast("Q")
    found = []
    for k in range(8, len(words) - 1):
        if abs(words[k] - heap) >= _LOWEST_ADDRESS:
            continue
        mmapped, peak, tcache_bins = words[k - 2], words[k - 1], words[k + 1]
        # n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold: hp_flags came before them in 2.35
        for distance in (36, 32):
            number, most, highest, fixed = struct.unpack_from("<4i", data, 8 * k - distance)
            plausible = 0 <= number <= highest <= most and most and fixed in (0, 1) and (number > 0) == (mmapped > 0)
            if plausible and mmapped <= peak and 0 < tcache_bins < 1024:
                found.append(Parameters(address + 8 * (k - 2), words[k]))
                break
    return found
