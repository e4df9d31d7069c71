"""Fewer points of a series for programs that cannot hold all. Extremes stay: a spike of one sample is still there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.model.run import Series


def thinned(series: Sequence[Series], most: int) -> list[Series]:
    """The series with about ``most`` points together; all of them where they are no more. Each keeps its share, and at least four
    points: the first, the last, the lowest and the highest of each of its equal stretches."""
    total = sum(each.t_ns.size for each in series)
    if total <= most:
        return list(series)
    return [_thinned(each, max(4, each.t_ns.size * most // total)) for each in series]


def _thinned(series: Series, most: int) -> Series:
    count = series.t_ns.size
    if count <= most:
        return series
    length = -(-count // max(1, (most - 2) // 2))
    padded = np.concatenate([series.values, np.full(-count % length, series.values[-1])]).reshape(-1, length)
    begins = np.arange(padded.shape[0]) * length
    picked = np.concatenate([[0, count - 1], begins + padded.argmin(axis=1), begins + padded.argmax(axis=1)])
    index = np.unique(np.minimum(picked, count - 1))
    return replace(series, t_ns=series.t_ns[index], values=series.values[index])
