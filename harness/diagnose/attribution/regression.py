"""Generalised least squares of growth on request counts, for short runs of observations on several processes.

The observations of one process are the increments of a level that was read with an error. If the error is fresh in every reading,
what one increment has too much the next has too little, and summing up is best; if it adds up, increments are best. Real memory
lies between. So the error of the level is taken to be an AR(1) process, its coefficient is estimated from the increments (never
too low: 1 is always valid), and the level is transformed as Prais & Winsten (1954) do, with the unknown error of each process's
first reading taken out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.stats import standard_errors, student_t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_CAUTION = 2.0  # standard errors of the lag-1 coefficient by which the AR coefficient is raised
# Of the usual size of an observation: rows that fit perfectly must not give intervals without any width.
_LEAST_ERROR = 1e-3
_SANDWICH_GROUPS = 2  # groups for each column, below which errors clustered in time cannot be estimated


@dataclass(frozen=True, slots=True)
class Sample:
    """``design`` (rows, columns), ``growth`` (rows,); ``life`` and ``moment`` (rows,) number the uninterrupted stretch of a
    process, and the time. Rows are in order of life, then time."""

    design: Floats
    growth: Floats
    life: Ints
    moment: Ints

    def columns(self, design: Floats) -> Sample:
        """The same growth with another design."""
        return Sample(design, self.growth, self.life, self.moment)

    def where(self, rows: NDArray[np.bool_]) -> Sample:
        """Some of the rows."""
        return Sample(self.design[rows], self.growth[rows], self.life[rows], self.moment[rows])


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients with standard errors, each (columns,); inf where a column cannot be told from the others.

    ``freedom``: degrees of freedom of the errors.
    """

    value: Floats
    error: Floats
    freedom: int

    def reach(self, confidence: float = 0.975) -> float:
        """Standard errors on each side of an interval."""
        return student_t_quantile(confidence, max(1, self.freedom))

    def beyond_chance(self, candidates: Sequence[int], error_rate: float) -> list[int]:
        """Those of ``candidates`` above 0, with at most this chance that any one of them is not (Holm 1979, one-sided)."""
        t = {c: self.value[c] / self.error[c] if 0 < self.error[c] < math.inf else 0.0 for c in candidates}
        found = []
        for rank, column in enumerate(sorted(t, key=lambda c: (-t[c], c))):
            if t[column] <= self.reach(1 - error_rate / (len(t) - rank)):
                break
            found.append(column)
        return found


def fit(sample: Sample, coefficient: float | None = None) -> Fit:
    """Least squares on the transformed levels. ``coefficient``: of the error's AR(1) process; None: estimate it."""
    columns = sample.design.shape[1]
    phi = error_coefficient(sample) if coefficient is None else coefficient
    x, y, moment = _transformed(sample, phi)
    gram = x.T @ x
    value, inverse, residual = _solve(x, y, gram)
    if sample.growth.size <= columns and np.linalg.matrix_rank(x) >= sample.growth.size:
        return Fit(value, np.full(columns, np.inf), 1)  # it fits perfectly, which says nothing of errors
    spare = max(1, sample.growth.size - columns)
    noise = max(float(residual @ residual) / spare, _LEAST_ERROR**2 * float(y @ y) / y.size)
    plain = standard_errors(gram, noise)
    _, group = np.unique(moment, return_inverse=True)
    groups = int(group.max()) + 1
    if groups < max(_SANDWICH_GROUPS * columns, columns + 6):
        return Fit(value, plain, spare)
    scores = np.zeros((groups, columns))
    np.add.at(scores, group, x * residual[:, None])
    pushed = scores @ inverse
    clustered = np.sqrt((pushed * pushed).sum(axis=0) * groups / (groups - columns))
    return Fit(value, np.where(np.isfinite(plain), np.maximum(plain, clustered), np.inf), groups - columns)


def error_coefficient(sample: Sample) -> float:
    """AR(1) coefficient of the error of the level, 0 to 1, rather too high than too low.

    Increments of an AR(1) process have a lag-1 autocorrelation of -(1 - phi) / 2.
    """
    x, y = sample.design, sample.growth
    residual = y - x @ _solve(x, y, x.T @ x)[0]
    together = sample.life[1:] == sample.life[:-1]
    pairs, power = int(together.sum()), float(residual @ residual)
    if pairs < 4 or power <= 0:
        return 1.0
    lag1 = float((residual[1:] * residual[:-1])[together].sum()) / power * residual.size / pairs
    return float(np.clip(1 + 2 * (lag1 + _CAUTION / math.sqrt(pairs)), 0.0, 1.0))


def _solve(x: Floats, y: Floats, gram: Floats) -> tuple[Floats, Floats, Floats]:
    """(coefficients, inverse of the normal equations, residuals); columns that depend on others share what is theirs."""
    scale = np.sqrt(np.diag(gram))
    scale[scale <= 0] = 1.0
    inverse = np.linalg.pinv(gram / np.outer(scale, scale), rcond=1e-9, hermitian=True) / np.outer(scale, scale)
    value = inverse @ (x.T @ y)
    return value, inverse, y - x @ value


def _transformed(sample: Sample, phi: float) -> tuple[Floats, Floats, Ints]:
    if phi >= 1:
        return sample.design, sample.growth, sample.moment
    xs, ys, moments = [], [], []
    starts = np.flatnonzero(np.diff(sample.life, prepend=sample.life[:1] - 1))
    for start, stop in zip(starts, [*starts[1:], sample.life.size], strict=True):
        stretch = slice(start, stop)
        both = np.column_stack([sample.design[stretch], sample.growth[stretch]])
        level = np.vstack([np.zeros((1, both.shape[1])), np.cumsum(both, axis=0)])
        moved = np.vstack([level[:1], level[1:] - phi * level[:-1]])
        first = np.full(level.shape[0], 1 - phi)  # what the error of the first reading adds to all levels
        first[0] = math.sqrt(1 - phi * phi)
        moved -= np.outer(first, first @ moved) / float(first @ first)
        xs.append(moved[:, :-1])
        ys.append(moved[:, -1])
        moments.append(np.concatenate([sample.moment[start : start + 1], sample.moment[stretch]]))
    return np.vstack(xs), np.concatenate(ys), np.concatenate(moments)
