"""Intervals of percentiles and of shares, from counts alone: no assumption about how the values are distributed.

Requests are taken as independent of each other. 95 % intervals: 2.5 % on each side.
"""

from __future__ import annotations

import math

from harness.scenario.enough import TAIL, Z

_EXACT_UP_TO = 5000


def quantile_ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Indices into ``n`` sorted values between which the ``q`` quantile lies with 95 %; None where that end is beyond them.

    The number of values below the quantile is binomial (Hahn and Meeker, Statistical Intervals, 5.2); from 5000 values on its
    normal approximation.
    """
    if n <= 0:
        return None, None
    if n > _EXACT_UP_TO:
        spread = Z * math.sqrt(n * q * (1 - q))
        low, high = math.floor(n * q - spread) - 1, math.ceil(n * q + spread)
        return (low if low >= 0 else None), (high if high < n else None)
    below, lowest = 0.0, None  # P(B <= k)
    for k in range(n):
        below += _binomial(n, k, q)
        if below <= TAIL:
            lowest = k
        if below >= 1 - TAIL:
            return lowest, k
    return lowest, None


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of ``n`` trials."""
    share, z2 = hits / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else max(0.0, middle - half)), (1.0 if hits == n else min(1.0, middle + half))


def _binomial(n: int, k: int, q: float) -> float:
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(q) + (n - k) * math.log1p(-q)
    return math.exp(log)
