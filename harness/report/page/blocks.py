"""Columns of integers, small enough to inline: delta, zigzag, varint, gzip, base64.

A block is ``gzip(length of header, uint32 little-endian | header, JSON in ASCII | columns)``. The header's ``columns`` lists
(values, bytes) of each column, so that a reader decodes only what it shows; everything else in a block refers to columns by
their number. The reader is `ui/src/decode.ts`.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVEL = 6
_LIMIT = 2**52  # what a JavaScript number holds exactly, with room for a sum


class Block:
    """Collects columns; `encode` gives the text to put into the page."""

    def __init__(self) -> None:
        self._sizes: list[tuple[int, int]] = []
        self._parts: list[bytes] = []

    def column(self, values: NDArray[np.int64] | Sequence[int]) -> int:
        """Add a column and return its number. Values beyond 2^52 are held at that limit: no page could show them."""
        column = np.asarray(values, dtype=np.int64)
        steps = np.clip(column, -_LIMIT, _LIMIT)
        steps[1:] -= steps[:-1].copy()
        self._parts.append(varint(zigzag(steps)))
        self._sizes.append((column.size, len(self._parts[-1])))
        return len(self._sizes) - 1

    def encode(self, header: Mapping[str, object]) -> str:
        """The block as base64. The same columns and header always give the same text."""
        head = json.dumps({**header, "columns": self._sizes}, allow_nan=False, separators=(",", ":")).encode("ascii")
        raw = struct.pack("<I", len(head)) + head + b"".join(self._parts)
        return base64.b64encode(gzip.compress(raw, _LEVEL, mtime=0)).decode("ascii")


def zigzag(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """0, -1, 1, -2, ... -> 0, 1, 2, 3, ...: small magnitudes become small numbers."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def varint(values: NDArray[np.uint64]) -> bytes:
    """LEB128: seven bits a byte, low first, the top bit says that more follow."""
    if not values.size:
        return b""
    lengths = np.ones(values.size, dtype=np.int64)
    rest = values >> np.uint64(7)
    while rest.any():
        lengths += rest > 0
        rest >>= np.uint64(7)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    out = np.zeros(int(ends[-1]), dtype=np.uint8)
    for k in range(int(lengths.max())):
        has = lengths > k
        low = (values[has] >> np.uint64(7 * k)) & np.uint64(127)
        more = np.where(lengths[has] > k + 1, np.uint64(128), np.uint64(0))
        out[starts[has] + k] = (low | more).astype(np.uint8)
    return out.tobytes()
