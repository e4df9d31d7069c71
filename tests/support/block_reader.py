"""Reads the data blocks of the HTML page, written from their description and not from the writer."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import Any


def read(text: str) -> tuple[dict[str, Any], list[list[int]]]:
    """Header and decoded columns of a block."""
    raw = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    at, columns = 4 + length, []
    for count, size in header.pop("columns"):
        end = at + size
        columns.append(_column(raw[at:end], count))
        at = end
    assert at == len(raw)
    return header, columns


def _column(data: bytes, count: int) -> list[int]:
    values, total, at = [], 0, 0
    for _ in range(count):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        total += (value >> 1) ^ -(value & 1)
        values.append(total)
    assert at == len(data)
    return values
