"""Pack the values of one series into few bytes that SQLite's own functions can read. Pure; the other way round: `unpack`.

A chunk holds ``n`` values ``base + step*i + scale*code(i)`` at the ticks ``first_tick + tick_step*i + offset(i)``. Codes are
non-negative integers, written as text so that plain SQL decodes each value on its own, without looking at its neighbours:

    width 0       all codes are 0: no text
    width 1       one symbol a value: codes 0 to 94 are the printable ASCII characters, higher ones the characters from U+00A0
    width 2 to 5  so many printable ASCII characters a value: digits to the base 95, the highest first
    width 6 up    so many decimal digits a value

Offsets (NULL when all are 0) are symbols as in width 1. The idea is frame of reference coding (Goldstein, Ramakrishnan, Shaft
1998) with a slope for counters; digits are whole bytes because SQL has to read them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
RADIX = 95
ASCII_FIRST = 32  # the space; 126 is the last printable one
LATIN_SHIFT = 33  # 127 to 159 are control characters: U+00A0 follows U+007E
MOST_SYMBOL = 0xD7FF - ASCII_FIRST - LATIN_SHIFT  # the last code before the surrogates
MOST_DIGITS = 5
LONGEST = 4096  # values in one chunk; the table `position` counts so far
ROW_BYTES = 30  # what a chunk costs besides its text: keys, header, base
_TWO_BYTES = 0x7FF - ASCII_FIRST - LATIN_SHIFT  # the last code that UTF-8 writes with two bytes
_MOST_TEXT = 800  # longer rows would need overflow pages
_SAFE = 1 << 62  # sums of two such numbers fit into 64 bits


class Chunk(NamedTuple):
    """A row of the table `chunk` without its series."""

    first_tick: int
    tick_step: int
    ticks: str | None
    n: int
    base: int
    step: int
    scale: int
    width: int
    text: str | None

    def joined(self, other: Chunk) -> Chunk | None:
        """Both in one row, when ``other`` goes on exactly as this one would: constants and steady counters do."""
        if self.width or other.width or self.ticks or other.ticks or self.n + other.n > LONGEST:
            return None
        gap = other.first_tick - self.first_tick
        tick_step = self.tick_step if self.n > 1 else gap
        step = self.step if self.n > 1 else other.base - self.base
        follows = gap == tick_step * self.n and other.base == self.base + step * self.n
        alike = other.n == 1 or (other.tick_step, other.step) == (tick_step, step)
        if not (follows and alike and abs(self.base) + abs(step) * (self.n + other.n) < _SAFE):
            return None
        return self._replace(tick_step=tick_step, step=step, n=self.n + other.n)


class _Codes(NamedTuple):
    base: int
    step: int
    scale: int
    width: int
    codes: Sequence[int]
    size: int  # bytes of text


def pack(ticks: Sequence[int], values: Sequence[int]) -> list[Chunk]:
    """Chunks that hold exactly these values, in order. ``ticks`` must rise; values are 64-bit integers; neither may be empty."""
    return [chunk for chunk, _ in _cut(ticks, values)]


def _cut(ticks: Sequence[int], values: Sequence[int]) -> list[tuple[Chunk, int]]:
    """One chunk, or two halves where they are smaller: a quiet half, a jump between two levels."""
    n = len(values)
    codes = _best(values)
    tick_step, offsets = _offsets(ticks)
    whole: list[tuple[Chunk, int]] = []
    if codes is not None and offsets is not None and codes.size + len(offsets) <= _MOST_TEXT and n <= LONGEST:
        text = _text(codes.codes, codes.width) if codes.width else None
        size = ROW_BYTES + codes.size + _symbol_bytes(offsets)
        chunk = Chunk(
            ticks[0], tick_step, _symbols(offsets) if offsets else None,
            n, codes.base, codes.step, codes.scale, codes.width, text,
        )  # fmt: skip
        whole = [(chunk, size)]
        if size <= 3 * ROW_BYTES:  # the best that a cut can do is to make half of the text disappear for one more row
            return whole
    half = n // 2
    halves = _cut(ticks[:half], values[:half]) + _cut(ticks[half:], values[half:])
    if whole and whole[0][1] <= sum(size for _, size in halves):
        return whole
    return halves


def _best(values: Sequence[int]) -> _Codes | None:
    """The shortest of: above the minimum, below the maximum, the same around a straight line. None: it must be cut."""
    low, high = min(values), max(values)
    if low == high:
        return _Codes(low, 0, 0, 0, (), 0)
    if high - low > INT64_MAX:
        return None
    scale = math.gcd(*[value - low for value in values])
    codes = [(value - low) // scale for value in values]
    best = _shortest(low, 0, scale, codes, (high - low) // scale)
    slope = round((codes[-1] - codes[0]) / (len(codes) - 1))
    if slope and max(abs(low), abs(high)) + abs(slope * scale) * len(codes) < _SAFE:
        rest = [code - slope * i for i, code in enumerate(codes)]
        lowest = min(rest)
        around = [code - lowest for code in rest]
        best = min(
            best, _shortest(low + lowest * scale, slope * scale, scale, around, max(around)), key=lambda c: c.size
        )
    return best


def _shortest(base: int, step: int, scale: int, codes: list[int], most: int) -> _Codes:
    if most == 0:
        return _Codes(base, step, 0, 0, (), 0)
    n = len(codes)
    width = _width(most)
    fixed = _Codes(base, step, scale, width, codes, n * width)
    if most < RADIX or most > MOST_SYMBOL:
        return fixed
    down = [most - code for code in codes]
    upwards = _Codes(base, step, scale, 1, codes, _symbol_bytes(codes))
    downwards = _Codes(base + scale * most, step, -scale, 1, down, _symbol_bytes(down))
    return min(fixed, upwards, downwards, key=lambda c: c.size)


def _width(most: int) -> int:
    for digits in range(1, MOST_DIGITS + 1):
        if most < RADIX**digits:
            return digits
    return len(str(most))


def _offsets(ticks: Sequence[int]) -> tuple[int, Sequence[int] | None]:
    """(tick_step, offsets): no offsets when the ticks are evenly spaced, None when they do not fit into symbols."""
    n, first = len(ticks), ticks[0]
    if n == 1 or ticks[-1] - first == n - 1:
        return 1, ()
    step = ticks[1] - first
    if all(right - left == step for left, right in pairwise(ticks)):
        return step, ()
    step = min((tick - first) // i for i, tick in enumerate(ticks) if i)
    offsets = [tick - first - step * i for i, tick in enumerate(ticks)]
    return (step, offsets) if max(offsets) <= MOST_SYMBOL else (step, None)


def _symbol_bytes(codes: Sequence[int]) -> int:
    return len(codes) + sum(1 if code <= _TWO_BYTES else 2 for code in codes if code >= RADIX)


def _symbols(codes: Sequence[int]) -> str:
    return "".join([chr(c + ASCII_FIRST if c < RADIX else c + ASCII_FIRST + LATIN_SHIFT) for c in codes])


def _text(codes: Sequence[int], width: int) -> str:
    if width == 1:
        return _symbols(codes)
    if width > MOST_DIGITS:
        return "".join([f"{code:0{width}d}" for code in codes])
    digits: list[list[int]] = []
    for _ in range(width):
        digits.append([code % RADIX + ASCII_FIRST for code in codes])
        codes = [code // RADIX for code in codes]
    return bytes(chain.from_iterable(zip(*reversed(digits), strict=True))).decode("ascii")
