"""Floors of a pool with known truth, and how often `harness.diagnose.growth.judge` says what about them.

Amounts are bytes, times are rounds; every curve starts at 0 and is put on a level of 100 MB. Shared by ``bench/diagnosis.py``,
which publishes the rates, and by the tests, which hold some of them to bounds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.diagnose.growth import Growth, Shape, Yardstick, judge

MB, MIB = 1e6, 1 << 20
LEVEL = 100 * MB
YARD = Yardstick(floor=96_000, quantum=MIB, doubt=MIB)
HEALTHY = (Shape.FLAT, Shape.SETTLED)

Make = Callable[[np.random.Generator], np.ndarray]


def noise(n: int, phi: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """AR(1) with standard deviation ``sigma``; a random walk with steps of ``sigma`` for phi = 1."""
    steps = rng.standard_normal(n) * sigma
    if phi == 1:
        return np.cumsum(steps)
    y = np.empty(n)
    y[0] = steps[0]
    for i in range(1, n):
        y[i] = phi * y[i - 1] + math.sqrt(1 - phi * phi) * steps[i]
    return y


def drift(n: int, phi: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A level whose increments are AR(1): noise that goes the same way for some rounds."""
    return np.concatenate([[0.0], np.cumsum(noise(n - 1, phi, sigma, rng))])


def sawtooth(n: int, amplitude: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """Garbage that piles up and is collected once in ``period`` rounds, at any phase."""
    return amplitude * ((np.arange(n) / period + rng.random()) % 1)


def decay(n: int, first: float, q: float) -> np.ndarray:
    """Increments ``first``, ``first`` q, ``first`` q^2, ..."""
    return np.concatenate([[0.0], np.cumsum(first * q ** np.arange(n - 1))])


def staircase(n: int, jumps: int, rng: np.random.Generator) -> np.ndarray:
    """So many jumps of 5 to 30 MB at different times."""
    increments = np.zeros(n - 1)
    increments[rng.choice(n - 1, jumps, replace=False)] = rng.uniform(5 * MB, 30 * MB, jumps)
    return np.concatenate([[0.0], np.cumsum(increments)])


def in_pieces(n: int, leak: float, piece: float, rng: np.random.Generator) -> np.ndarray:
    """A leak that shows only when an allocator takes another piece."""
    return np.floor(leak * np.arange(n) / piece + rng.random()) * piece


@dataclass(frozen=True)
class Rates:
    """How often each shape was said of ``runs`` series. ``blind``: called healthy with a printed MDL below the steady growth that
    was really there."""

    runs: int
    shapes: Counter[Shape]
    blind: int

    def percent(self, *shapes: Shape) -> float:
        return 100 * sum(self.shapes[shape] for shape in shapes) / self.runs


def rates(make: Make, runs: int, seed: int, leak: float = 0.0) -> Rates:
    """Judge ``runs`` series; ``leak``: the steady growth per round that is in them."""
    rng = np.random.default_rng(seed)
    judged = [judge(LEVEL + make(rng), YARD) for _ in range(runs)]
    return _counted(judged, [leak] * runs)


def leaking(n: int, phi: float, sigma: float, multiple: float, runs: int, seed: int) -> tuple[Rates, float]:
    """Leaks of ``multiple`` MDL of their own noise; and the share of the intervals that hold the leak."""
    rng = np.random.default_rng(seed)
    judged, leaks = [], []
    for _ in range(runs):
        wandering = LEVEL + noise(n, phi, sigma, rng)
        leaks.append(multiple * judge(wandering, YARD).mdl_per_round)
        judged.append(judge(wandering + leaks[-1] * np.arange(n), YARD))
    held = [g.low <= leak <= g.high for g, leak in zip(judged, leaks, strict=True) if g.grows]
    return _counted(judged, leaks), float(np.mean(held)) if held else math.nan


def _counted(judged: list[Growth], leaks: list[float]) -> Rates:
    blind = sum(g.shape in HEALTHY and g.mdl_per_round < leak for g, leak in zip(judged, leaks, strict=True))
    return Rates(len(judged), Counter(g.shape for g in judged), blind)
