"""What to request and when: pure functions of the seed, so that rounds can be repeated exactly.

The blocks of a round are a designed experiment. Growth per endpoint is later solved from growth per block, which works only
if the blocks' mixes differ strongly and are not combinations of each other, while the round as a whole stays the same every
time. The blocks are of different sizes as well: of equal ones nothing could say whether memory grows with requests or with the
pauses between them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

# How much of its usual share an endpoint gets in a block. Ten endpoints, 5 blocks a round: errors of the split are a quarter
# smaller than with 0.2, 1, 3. Wider still is better still, but then a block is traffic that no application ever sees.
_EMPHASIS = (0.05, 1.0, 6.0)
_SIZES = (0.5, 1.5)  # smallest and largest block, of their mean
_LEAST_IN_BLOCK = 10  # on average; with fewer, blocks are of equal size
_FITTING_STEPS = 50
_DECK = 1000


def apportion(weights: Sequence[float], total: int) -> tuple[int, ...]:
    """Share ``total`` out in proportion to ``weights`` by largest remainder; the earlier index wins a tie."""
    scale = total / math.fsum(weights)
    counts = [math.floor(weight * scale) for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (counts[i] - weights[i] * scale, i))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return tuple(counts)


def round_blocks(
    weights: Sequence[float], requests: int, blocks: int, seed: int, number: int
) -> tuple[tuple[int, ...], ...]:
    """Round ``number``: for each block the indexes into ``weights`` in the order to request them.

    All blocks together are ``apportion(weights, requests)`` whatever the round, and the blocks have the same sizes: evenly
    spaced from half to one and a half of their mean. Which block has which size, which endpoints dominate it, and the order,
    depend on ``seed`` and ``number`` only.
    """
    dice = random.Random(f"round/{seed}/{number}")  # noqa: S311  a reproducible draw, not a secret
    sizes = list(apportion(_size_weights(requests, blocks), requests))
    dice.shuffle(sizes)
    composition = _composition(apportion(weights, requests), sizes, dice)
    result = []
    for row in composition:
        order = [index for index, count in enumerate(row) for _ in range(count)]
        dice.shuffle(order)
        result.append(tuple(order))
    return tuple(result)


def _size_weights(requests: int, blocks: int) -> list[float]:
    if blocks == 1 or requests < _LEAST_IN_BLOCK * blocks:
        return [1.0] * blocks
    smallest, largest = _SIZES
    return [smallest + (largest - smallest) * i / (blocks - 1) for i in range(blocks)]


def endless_mix(weights: Sequence[float], seed: int, number: int) -> Iterator[int]:
    """Indexes into ``weights`` for stage ``number``, without end: every 1000 in a row hold the exact shares, shuffled."""
    dice = random.Random(f"stage/{seed}/{number}")  # noqa: S311  a reproducible draw, not a secret
    deck = [index for index, count in enumerate(apportion(weights, _DECK)) for _ in range(count)]
    while True:
        dice.shuffle(deck)
        yield from deck


def arrival_offsets_ns(rate_from: float, rate_to: float, seconds: float) -> Iterator[int]:
    """Intended starts, ns from the stage's start, for an arrival rate (per second) that goes linearly from one to the other.

    The k-th arrival (from 0) is when the integral of the rate reaches k: ``rate_from t + slope t^2 / 2 = k``.
    """
    half_slope = (rate_to - rate_from) / seconds / 2
    for k in range(planned_arrivals(rate_from, rate_to, seconds)):
        # The root written so that it neither cancels nor divides by a zero slope; the discriminant is a squared rate.
        discriminant = max(rate_from * rate_from + 4 * half_slope * k, 0.0)
        divisor = rate_from + math.sqrt(discriminant)
        yield round(2 * k / divisor * 1e9) if k else 0


def planned_arrivals(rate_from: float, rate_to: float, seconds: float) -> int:
    """How many arrivals start before the stage is over."""
    return math.ceil((rate_from + rate_to) / 2 * seconds - 1e-9)


def _composition(counts: Sequence[int], sizes: Sequence[int], dice: random.Random) -> list[list[int]]:
    """A random table of counts (blocks x endpoints) with exactly these column and row sums and strong contrast between rows."""
    shares = [[dice.choice(_EMPHASIS) * count for count in counts] for _ in sizes]
    for _ in range(_FITTING_STEPS):  # iterative proportional fitting to both margins
        for row, size in zip(shares, sizes, strict=True):
            _scale(row, size)
        for column, count in enumerate(counts):
            factor = count / (sum(row[column] for row in shares) or 1.0)
            for row in shares:
                row[column] *= factor
    table = [[math.floor(share) for share in row] for row in shares]
    _fill(table, shares, counts, sizes)
    return table


def _scale(row: list[float], size: int) -> None:
    factor = size / (sum(row) or 1.0)
    row[:] = [share * factor for share in row]


def _fill(table: list[list[int]], shares: list[list[float]], counts: Sequence[int], sizes: Sequence[int]) -> None:
    """Hand out what rounding down left over, largest fractions first, until both margins are met."""
    row_rest = [size - sum(row) for row, size in zip(table, sizes, strict=True)]
    column_rest = [count - sum(row[c] for row in table) for c, count in enumerate(counts)]
    _take_back(table, row_rest, column_rest)
    cells = [(table[r][c] - shares[r][c], r, c) for r in range(len(sizes)) for c in range(len(counts))]
    for _, r, c in sorted(cells):
        if row_rest[r] > 0 and column_rest[c] > 0:
            table[r][c] += 1
            row_rest[r] -= 1
            column_rest[c] -= 1
    for r in range(len(sizes)):
        for c in range(len(counts)):
            more = min(row_rest[r], column_rest[c])
            table[r][c] += more
            row_rest[r] -= more
            column_rest[c] -= more


def _take_back(table: list[list[int]], row_rest: list[int], column_rest: list[int]) -> None:
    """Undo overshoot: fitting stops after a fixed number of steps, so a row may still be a little above its size."""
    for r, row in enumerate(table):
        while row_rest[r] < 0:
            c = max(range(len(row)), key=row.__getitem__)
            row[c] -= 1
            row_rest[r] += 1
            column_rest[c] += 1
