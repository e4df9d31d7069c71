"""The heap's counters up to a thousand times a second: one read of the target a sample."""

from __future__ import annotations

import struct
from typing import Tuple

from ...sources.numbers import LIMIT
from ..memory import Memory
from ..reader import Probe
from ..refusal import Torn
from .heap import Heap

BALANCE_EVERY = 256  # samples between full checks of the books
_SIZE_AT = 16


class HeapProbe(Probe):
    """Made from a `Heap` that has proved itself."""

    def __init__(self, memory: Memory, heap: Heap) -> None:
        self._read = memory.read
        self._heap = heap
        self._at = heap.address + _SIZE_AT
        # size and peak, then real_size further on
        self._unpack = struct.Struct("<QQ{}xQ".format(8 * heap.shape.real - _SIZE_AT - 16)).unpack
        self._bytes = 8 * heap.shape.real - _SIZE_AT + 8
        self._until_balance = BALANCE_EVERY
        self.taken = 0
        self.refused = 0

    def sample(self) -> "Tuple[int, int, int] | None":
        """(size, peak, real) in bytes; None when they are not of one moment or the books did not balance, which is counted.
        Raises Unreadable when the process has gone."""
        try:
            size, peak, real = sample = self._unpack(self._read(self._at, self._bytes))
            self._until_balance -= 1
            if not self._until_balance:
                self._until_balance = BALANCE_EVERY
                self._heap.read()
        except Torn:
            self.refused += 1
            return None
        if size <= peak <= LIMIT and size <= real <= LIMIT:
            self.taken += 1
            return sample
        self.refused += 1
        return None
