"""Robust statistics for short, autocorrelated memory series. Pure functions over numpy arrays; nothing here reads a clock.

Sources: Theil 1950 and Sen 1968 (slope), Mann 1945 and Kendall (trend), Yue & Wang 2004 (variance correction for lag-1
autocorrelation, applied here to detrended data with a bias-corrected coefficient), Lawson & Hanson 1974 and Bro & de Jong
1997 (non-negative least squares), Hill 1970 (quantiles of Student's t). False-positive rates: ``bench/diagnosis.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_MAX_LAG1 = 0.99
_MUCH_WORSE = 3.0  # times the sum of squares: a fit that is out
_PAIRWISE_LIMIT = (
    2000  # Theil-Sen and Mann-Kendall look at all pairs; longer series must be reduced to block means first
)


def normal_quantile(p: float) -> float:
    """Quantile of the standard normal distribution, 0 < p < 1."""
    return NormalDist().inv_cdf(p)


def student_t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t with ``df`` degrees of freedom, 0.5 <= p < 1 (Hill 1970; 4 digits for df >= 3, exact for 1, 2)."""
    if not 0.5 <= p < 1 or df < 1:
        raise ValueError("needs 0.5 <= p < 1 and df >= 1")
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    two_tailed = 2 * (1 - p)
    a = 1 / (df - 0.5)
    b = (48 / a) / a
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * df
    y = (d * two_tailed) ** (2 / df)
    if y > 0.05 + a:
        x = normal_quantile(p)
        y = x * x
        if df < 5:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((df + 6) / (df * y) - 0.089 * d - 0.822) * (df + 2) * 3) + 0.5 / (df + 4)) * y - 1) * (df + 1) / (
            df + 2
        ) + 1 / y
    return math.sqrt(df * y)


def mad(values: ArrayLike) -> float:
    """Median absolute deviation from the median, unscaled; 0.0 for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    return 0.0 if x.size < 2 else float(np.median(np.abs(x - np.median(x))))


@dataclass(frozen=True, slots=True)
class Trend:
    """Slope per step with its 95 % interval, the trend test's Z (> 1.96: rises at 2.5 % one-sided) and the lag-1 coefficient."""

    slope: float
    low: float
    high: float
    z: float
    lag1: float


def trend(values: ArrayLike) -> Trend:
    """Theil-Sen slope and Mann-Kendall test of an equidistant series, corrected for the lag-1 autocorrelation of what is
    left after taking the slope out. Needs 3 to 2000 values; ValueError otherwise."""
    y = np.asarray(values, dtype=np.float64)
    n = y.size
    if not 3 <= n <= _PAIRWISE_LIMIT:
        raise ValueError(f"a trend needs 3 to {_PAIRWISE_LIMIT} values, got {n}")
    i, j = np.triu_indices(n, 1)
    rises = y[j] - y[i]
    slopes = np.sort(rises / (j - i))
    slope = float(np.median(slopes))
    lag1 = lag1_autocorrelation(y - slope * np.arange(n))
    k = np.arange(1, n)
    inflation = 1 + 2 * float(((1 - k / n) * lag1**k).sum())
    variance = _kendall_variance(y) * inflation
    s = float(np.sign(rises).sum())
    z = 0.0 if s == 0 or variance <= 0 else (s - math.copysign(1, s)) / math.sqrt(variance)
    low, high = _rank_interval(slopes, variance)
    return Trend(slope, low, high, z, lag1)


def lag1_autocorrelation(residuals: ArrayLike) -> float:
    """Lag-1 coefficient in [0, 0.99] with the small-sample bias (1 + 3r)/n added back; 0.0 for a constant series.

    Negative coefficients count as 0: they would only make the test bolder.
    """
    r = np.asarray(residuals, dtype=np.float64)
    r = r - r.mean()
    power = float((r * r).sum())
    if r.size < 3 or power <= 0:
        return 0.0
    raw = max(0.0, float((r[1:] * r[:-1]).sum()) / power)
    return float(min(_MAX_LAG1, raw + (1 + 3 * raw) / r.size))


def _kendall_variance(y: Floats) -> float:
    n = y.size
    _, ties = np.unique(y, return_counts=True)
    return float((n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18)


def _rank_interval(sorted_slopes: Floats, variance: float) -> tuple[float, float]:
    """Sen's interval from order statistics of the pairwise slopes."""
    count = sorted_slopes.size
    reach = normal_quantile(0.975) * math.sqrt(max(variance, 0.0))
    lower = max(0, math.floor((count - reach) / 2))
    upper = min(count - 1, math.ceil((count + reach) / 2))
    return float(sorted_slopes[lower]), float(sorted_slopes[upper])


@dataclass(frozen=True, slots=True)
class MeanTest:
    """Mean with its 95 % interval and its t value against 0; ``t`` is inf for a constant non-zero sample."""

    mean: float
    low: float
    high: float
    t: float
    standard_error: float


def mean_test(values: ArrayLike) -> MeanTest:
    """Student's test of a sample of at least two values.

    For increments of a level this is the strict test of growth: it holds even if the level wanders like a random walk, the
    hardest noise there is, and is conservative for stationary noise, whose increments cancel each other.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        raise ValueError("needs at least two values")
    mean = float(x.mean())
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    reach = student_t_quantile(0.975, x.size - 1) * error
    t = mean / error if error > 0 else (0.0 if mean == 0 else math.copysign(math.inf, mean))
    return MeanTest(mean, mean - reach, mean + reach, t, error)


def minimum_detectable_slope(sigma: float, n: int, lag1: float, *, power: float = 0.9) -> float:
    """Smallest slope per step a two-sided 5 % test sees with ``power`` in ``n`` equidistant values of noise ``sigma``.

    facts: (z_0.975 + z_power) * sigma * sqrt(12) / (n * sqrt(n_eff)), n_eff = n (1 - lag1) / (1 + lag1).
    """
    effective = n * (1 - lag1) / (1 + lag1)
    return (normal_quantile(0.975) + normal_quantile(power)) * sigma * math.sqrt(12) / (n * math.sqrt(effective))


@dataclass(frozen=True, slots=True)
class Decay:
    """Fit of increments by a * q**i. ``q_low``/``q_high``: 90 % profile interval; q = 1 is linear growth.

    ``aicc_gain``: how much better (positive) than constant increments, small-sample Akaike criterion.
    """

    first: float
    q: float
    q_low: float
    q_high: float
    aicc_gain: float

    def remaining(self, steps: int) -> float | None:
        """What is still to come after ``steps`` increments if the decay goes on; None when it does not decay."""
        if self.q >= 1:
            return None
        return self.first * float(self.q**steps) / (1 - self.q)


def fit_decay(increments: ArrayLike) -> Decay:
    """Least-squares fit of a geometric decay (or growth up to 1.3 a step) to at least four increments."""
    d = np.asarray(increments, dtype=np.float64)
    m = d.size
    if m < 4:
        raise ValueError("needs at least four increments")
    grid = np.concatenate([np.linspace(0.01, 0.89, 89), np.linspace(0.9, 1.1, 101), np.linspace(1.12, 1.3, 10)])
    powers = grid[:, None] ** np.arange(m)[None, :]
    firsts = (powers @ d) / (powers * powers).sum(axis=1)
    sse = ((d[None, :] - firsts[:, None] * powers) ** 2).sum(axis=1)
    best = int(np.argmin(sse))
    scale = float((d * d).sum()) * 1e-12 + 1e-300
    floor = max(float(sse[best]), scale)
    # F(1, m - 2) at 90 % is the square of the two-sided t quantile
    limit = floor * (1 + student_t_quantile(0.95, m - 2) ** 2 / (m - 2))
    inside = grid[sse <= limit]
    constant = max(float(((d - d.mean()) ** 2).sum()), scale)
    gain = (m * math.log(constant / m) + _aicc_penalty(m, 2)) - (m * math.log(floor / m) + _aicc_penalty(m, 3))
    return Decay(float(firsts[best]), float(grid[best]), float(inside.min()), float(inside.max()), gain)


@dataclass(frozen=True, slots=True)
class Settling:
    """Fit of increments by a * q**i + rest: a decay that leaves a steady growth. ``rest_low``: its lower 99 % bound, over all
    q that fit nearly as well.

    ``aicc_gain``: how much better (positive) than the decay that ends at 0; ``scatter``: median absolute residual; ``fades``: a
    power of time, which keeps falling (a cache of keys that are ever rarer), fits nearly as well, so that the rest may end.
    """

    first: float
    q: float
    rest: float
    rest_low: float
    aicc_gain: float
    scatter: float
    fades: bool


def fit_settling(increments: ArrayLike) -> Settling:
    """Least-squares fit of a geometric decay (q up to 0.9: a slower one cannot be told from a line) to a constant. Needs five
    increments."""
    d = np.asarray(increments, dtype=np.float64)
    m = d.size
    if m < 5:
        raise ValueError("needs at least five increments")
    grid = np.linspace(0.01, 0.9, 90)
    powers = grid[:, None] ** np.arange(m)[None, :]
    centred = powers - powers.mean(axis=1, keepdims=True)
    firsts = (centred @ d) / (centred * centred).sum(axis=1)
    rests = d.mean() - firsts * powers.mean(axis=1)
    residuals = d[None, :] - firsts[:, None] * powers - rests[:, None]
    sse = (residuals**2).sum(axis=1)
    best = int(np.argmin(sse))
    scale = float((d * d).sum()) * 1e-12 + 1e-300
    floor = max(float(sse[best]), scale)
    spare = m - 3
    limit = floor * (1 + student_t_quantile(0.95, spare) ** 2 / spare)
    spread = math.sqrt(floor / spare) * np.sqrt(
        1 / m + powers.mean(axis=1) ** 2 / (centred * centred).sum(axis=1)
    )  # of the constant, q given
    lows = rests - student_t_quantile(0.99, spare) * spread
    ends = fit_decay(d)
    plain = max(float(((d - ends.first * ends.q ** np.arange(m)) ** 2).sum()), scale)
    gain = (m * math.log(plain / m) + _aicc_penalty(m, 3)) - (m * math.log(floor / m) + _aicc_penalty(m, 4))
    return Settling(
        float(firsts[best]),
        float(grid[best]),
        float(rests[best]),
        float(lows[sse <= limit].min()),
        gain,
        float(np.median(np.abs(residuals[best]))),
        _power_misfit(d) <= _MUCH_WORSE * floor,
    )


def _power_misfit(d: Floats) -> float:
    """Least sum of squares of increments around a * (i + 1)**-b."""
    powers = np.arange(1, d.size + 1)[None, :] ** -np.linspace(0.1, 2.5, 25)[:, None]
    firsts = (powers @ d) / (powers * powers).sum(axis=1)
    return float(((d[None, :] - firsts[:, None] * powers) ** 2).sum(axis=1).min())


def _aicc_penalty(n: int, parameters: int) -> float:
    spare = n - parameters - 1
    return 2 * parameters + (2 * parameters * (parameters + 1) / spare if spare > 0 else math.inf)


def nnls(a: ArrayLike, b: ArrayLike) -> Floats:
    """x >= 0 minimising |a x - b|; a is (rows, columns), b is (rows,)."""
    matrix = np.asarray(a, dtype=np.float64)
    return nnls_gram(matrix.T @ matrix, matrix.T @ np.asarray(b, dtype=np.float64))


def nnls_gram(gram: Floats, moment: Floats) -> Floats:
    """Non-negative least squares from the normal equations: gram = a^T a, moment = a^T b (Bro & de Jong's fast NNLS).

    Columns that cannot be told apart share what belongs to them (a ridge of 1e-9 keeps the equations solvable).
    """
    count = moment.size
    gram = gram + np.diag(1e-9 * np.diag(gram) + 1e-300)
    x = np.zeros(count)
    passive = np.zeros(count, dtype=bool)
    tolerance = 1e-10 * max(float(np.abs(moment).max(initial=0.0)), 1e-300)
    for _ in range(3 * count + 1):
        slack = moment - gram @ x
        slack[passive] = -np.inf
        entering = int(np.argmax(slack)) if count else 0
        if not count or passive.all() or slack[entering] <= tolerance:
            break
        passive[entering] = True
        x = _make_feasible(gram, moment, x, passive)
    return x


def _make_feasible(gram: Floats, moment: Floats, x: Floats, passive: NDArray[np.bool_]) -> Floats:
    """Solve on the passive set, walking back to the boundary while a coefficient would go negative. Edits ``passive``."""
    while passive.any():
        index = np.flatnonzero(passive)
        solution = np.zeros(x.size)
        solution[index] = np.linalg.solve(gram[index[:, None], index], moment[index])
        if solution[index].min() > 0:
            return solution
        negative = passive & (solution <= 0)
        gap = x[negative] - solution[negative]
        step = float(np.min(np.divide(x[negative], gap, out=np.zeros_like(gap), where=gap > 0)))
        x = x + step * (solution - x)
        dropped = negative & (x <= 1e-12 * max(float(np.abs(x).max()), 1e-300))
        passive &= ~dropped if dropped.any() else ~negative
        x[~passive] = 0.0
    return np.zeros(x.size)


@dataclass(frozen=True, slots=True)
class Regression:
    """Non-negative regression: coefficients and 95 % bootstrap intervals, each (columns,).

    ``standard_error`` is that of ordinary least squares, inf where a column cannot be told from the others.
    """

    coefficients: Floats
    low: Floats
    high: Floats
    standard_error: Floats


def bootstrap_nnls(a: Floats, b: Floats, groups: NDArray[np.int64], *, draws: int = 400, seed: int = 0) -> Regression:
    """NNLS of b on a with intervals from resampling whole groups of rows (what happened at one time stays together).

    ``groups`` (rows,) numbers the group of each row. Intervals are percentiles, widened by sqrt(g / (g - columns)) because
    a bootstrap of few groups is too sure of itself. Deterministic for a given seed.
    """
    rows, columns = a.shape
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1 if rows else 0
    grams = np.zeros((count, columns, columns))
    moments = np.zeros((count, columns))
    np.add.at(grams, index, a[:, :, None] * a[:, None, :])
    np.add.at(moments, index, a * b[:, None])
    gram, moment = grams.sum(axis=0), moments.sum(axis=0)
    centre = nnls_gram(gram, moment)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws) if count else None
    if weights is None:
        return Regression(centre, centre.copy(), np.full(columns, np.inf), np.full(columns, np.inf))
    draws_of = np.array(
        [nnls_gram(np.tensordot(w, grams, axes=1), w @ moments) for w in weights.astype(np.float64)],
        dtype=np.float64,
    )
    low, high = np.percentile(draws_of, [2.5, 97.5], axis=0)
    if count > columns:
        widen = math.sqrt(count / (count - columns))
        low, high = np.maximum(0.0, centre - (centre - low) * widen), centre + (high - centre) * widen
    else:
        low, high = np.zeros(columns), np.full(columns, np.inf)
    residual = b - a @ centre
    spare = rows - columns
    noise = float((residual * residual).sum()) / spare if spare > 0 else math.inf
    return Regression(centre, low, high, standard_errors(gram, noise))


def standard_errors(gram: Floats, noise: float) -> Floats:
    """Standard errors of ordinary least squares with gram = a^T a and residual variance ``noise``.

    inf for columns that are empty or take part in a (near) linear dependence, and everywhere for infinite noise.
    """
    columns = gram.shape[0]
    if not math.isfinite(noise):
        return np.full(columns, np.inf)
    scale = np.sqrt(np.diag(gram))
    usable = scale > 0
    errors = np.full(columns, np.inf)
    unit = gram[np.ix_(usable, usable)] / np.outer(scale[usable], scale[usable])
    values, vectors = np.linalg.eigh(unit)
    good = values > 1e-9
    inverse = ((vectors[:, good] ** 2) / values[good]).sum(axis=1)
    dependent = (vectors[:, ~good] ** 2).sum(axis=1) > 1e-6
    errors[usable] = np.where(dependent, np.inf, np.sqrt(noise * inverse) / scale[usable])
    return errors
