"""Chunks back into arrays, many at a time. See `chunk` for what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.store.chunk import ASCII_FIRST, LATIN_SHIFT, LONGEST, MOST_DIGITS, RADIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64]

COLUMNS = "first_tick, tick_step, ticks, n, base, step, scale, width, text"
Row = tuple[int, int, str | None, int, int, int, int, int, str | None]
_MOST_WIDTH = 19  # decimal digits of a code below 2^63


class Ticks(NamedTuple):
    """The instants of one lane: ``t_ns[k]`` belongs to tick ``first + k``."""

    first: int
    t_ns: Column

    def at(self, ticks: Column) -> Column:
        """Times of ticks. ValueError for a tick that is not there."""
        index = ticks - self.first
        if index[0] < 0 or index[-1] >= len(self.t_ns):
            raise ValueError(f"values at ticks {ticks[0]} to {ticks[-1]}, which are not all in the run")
        step = int(index[1] - index[0]) if len(index) > 1 else 1
        if (index[1:] - index[:-1] == step).all():  # evenly spaced, as most are: a view, shared by all such series
            return self.t_ns[index[0] : index[-1] + 1 : step]
        return self.t_ns[index]


def unpack(rows: Sequence[Row], tail: Column | None = None) -> tuple[Column, Column]:
    """(ticks, values) of one series, int64, ticks rising: its closed chunks by first tick, then ``tail``'s rows (tick, value).

    Raises ValueError for rows that no recorder writes. A few passes over the result, no Python object for a value.
    """
    counts = np.array([row[3] for row in rows], np.int64)
    if ((counts < 1) | (counts > LONGEST)).any():
        raise ValueError("a chunk with an impossible number of values")
    total = int(counts.sum())
    more = 0 if tail is None else len(tail)
    ticks, values = np.empty(total + more, np.int64), np.empty(total + more, np.int64)
    if rows:
        _numbers(rows, counts, ticks[:total], values[:total])
    if tail is not None:
        ticks[total:], values[total:] = tail.T
    if (ticks[1:] <= ticks[:-1]).any():
        raise ValueError("values out of order")
    return ticks, values


def _numbers(rows: Sequence[Row], counts: Column, ticks: Column, values: Column) -> None:
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    ramp = np.arange(len(values)) - np.repeat(starts, counts)
    _line(rows, 0, 1, counts, ramp, ticks)
    _line(rows, 4, 5, counts, ramp, values)
    for width in sorted({row[7] for row in rows} - {0}):
        chosen = [i for i, row in enumerate(rows) if row[7] == width]
        codes = _codes("".join([rows[i][8] or "" for i in chosen]), width)
        scales = np.array([rows[i][6] for i in chosen], np.int64)
        _add(values, starts[chosen], counts[chosen], np.repeat(scales, counts[chosen]), codes)
    uneven = [i for i, row in enumerate(rows) if row[2] is not None]
    if uneven:
        offsets = _codes("".join([rows[i][2] or "" for i in uneven]), 1)
        _add(ticks, starts[uneven], counts[uneven], 1, offsets)


def _line(rows: Sequence[Row], base: int, step: int, counts: Column, ramp: Column, out: Column) -> None:
    """base + step * i of each chunk."""
    steps = np.array([row[step] for row in rows], np.int64)
    out[:] = np.repeat(np.array([row[base] for row in rows], np.int64), counts)
    if (steps == 1).all():
        out += ramp
    elif steps.any():
        out += np.repeat(steps, counts) * ramp


def _add(out: Column, starts: Column, counts: Column, scales: Column | int, codes: Column) -> None:
    if len(codes) != int(counts.sum()):
        raise ValueError("a chunk whose text does not fit its number of values")
    if len(codes) == len(out):
        out += scales * codes
    else:
        ends = np.cumsum(counts)
        out[np.arange(len(codes)) + np.repeat(starts - ends + counts, counts)] += scales * codes


def _codes(text: str, width: int) -> Column:
    if width == 1:
        symbols = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
        return symbols - (ASCII_FIRST + LATIN_SHIFT * (symbols >= RADIX + ASCII_FIRST))
    digits = np.frombuffer(text.encode("ascii"), np.uint8)
    if len(digits) % width or not 0 < width <= _MOST_WIDTH:
        raise ValueError("a chunk whose text does not fit its width")
    radix, zero = (RADIX, ASCII_FIRST) if width <= MOST_DIGITS else (10, ord("0"))
    table = (digits - np.uint8(zero)).reshape(-1, width)
    codes: Column = np.zeros(len(table), np.int64)
    for column in range(width):
        codes *= radix
        codes += table[:, column]
    return codes
