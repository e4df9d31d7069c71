"""What kind of curve a series of round floors is: flat, rising, settling, stepping, or too uncertain to say.

The levels are floors of identical rounds, so every increment is the growth that one round of the same work caused. A rise is
called linear only when all of these hold, because each alone is fooled by some kind of noise:

- the median increment, and that of the last four, is at least ``eps`` = max(floor, 3 MAD of the increments, 0.2 % of the level);
- the mean increment is above 0 at 99.5 % one-sided by a test that holds for a random walk;
- the growth is at least three quanta, the steps in which an allocator takes memory, so that one step is not a trend;
- the increments do not die away, and did not just stop.

Jumps that stand out from all other increments (`harness.diagnose.steps`) are left out first: a leak beside them is still a
leak, and several of them alone are no slope, but may be a leak that shows in large pieces (unclear), unless all came in the
first rounds (settled). A decay that leaves a steady growth is no warm-up: it is slowing, and growth once enough floors follow.

The trend test corrected for autocorrelation (``z``) is reported, not required: with eight values its correction alone loses
a tenth of true leaks, and the test above is the stricter one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.stats import (
    Decay,
    MeanTest,
    Settling,
    fit_decay,
    fit_settling,
    mad,
    mean_test,
    student_t_quantile,
    trend,
)
from harness.diagnose.steps import Step, steps, straightened

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_ROUNDS = 7
_STEP_SHARE = 0.8
_MIN_AFTER_STEP = 5
_JUMP_QUANTA = 4  # an allocator takes memory by one at a time: what jumps by more was asked for at once
_QUANTA = 3
_CONFIDENCE = 0.995  # one-sided, of the increments' mean
_POWER_T = 1.44  # one-sided 90 % quantile of t with 6 degrees of freedom: power of the printed MDL
_POWER_LAST_FOUR = 0.8  # of the increments' spread: what the last four must be above eps by
_LINEAR_RATIO = 0.7
_DECLINE_RATIO = 0.5
_CLEAR_DECAY = 0.8
_REST_SHARE = 0.03
_RANGES = 3  # of the other increments: an increment that stands out from them
_STEADY_LOW, _STEADY_HIGH = 0.9, 0.99  # what each increment may be of the one before


class Shape(StrEnum):
    """FLAT: no growth above the MDL. LINEAR: as much in every round. SETTLED: grew at first, has stopped. SLOWING: still
    grows, ever less. UNCLEAR: moves more than it can be judged by. SHORT: too few rounds."""

    FLAT = "flat"
    LINEAR = "linear"
    SETTLED = "settled"
    SLOWING = "slowing"
    UNCLEAR = "unclear"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Growth:
    """One judged series; all amounts in the series' own unit (bytes, blocks, threads), ``per_round`` where named so.

    ``step`` is the increment index and size of the largest jump that was left out of the trend. ``ratio`` compares the last
    third of the increments with the first. ``ceiling`` and ``rounds_to_ceiling`` are set for SLOWING: where the decay ends
    and after how many more rounds 90 % of the rest has come. Of a series that dies away ``per_round`` and its interval are what
    is left of the growth in the last third. ``mdl_per_round`` is the smallest steady growth that would have
    been called. ``slightly_slowing``: the increments shrink a little; ``steady``: that they shrink, as those of a large cache
    would, is ruled out.
    """

    shape: Shape
    levels: tuple[float, ...]
    per_round: float
    low: float
    high: float
    eps: float
    mdl_per_round: float
    typical: float
    total: float
    z: float
    t: float
    ratio: float | None
    step: tuple[int, float] | None
    ceiling: float | None
    rounds_to_ceiling: float | None
    slightly_slowing: bool
    steady: bool

    @property
    def grows(self) -> bool:
        """Whether this is growth that goes on as long as the work does."""
        return self.shape is Shape.LINEAR

    @property
    def rises(self) -> bool:
        """Whether growth is certain at all, by the strict interval, whatever its curve; weaker than ``grows``."""
        return self.judged and self.low > 0

    @property
    def judged(self) -> bool:
        """False when there were too few rounds: then eps and MDL are NaN."""
        return self.shape is not Shape.SHORT

    @property
    def known(self) -> bool:
        """Whether there is an estimate of the growth at all (at least three floors)."""
        return math.isfinite(self.per_round) and math.isfinite(self.low)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What counts as something for a series: ``floor`` per round, ``quantum`` of the whole growth, ``relative`` to the level.

    A series that rose by two ``doubt`` in all, with a mean increment of at least its standard error, is not called flat.
    """

    floor: float
    quantum: float
    doubt: float
    relative: float = 0.002


def judge(levels: ArrayLike, yardstick: Yardstick) -> Growth:
    """Classify the floors of consecutive identical rounds (oldest first)."""
    y = np.asarray(levels, dtype=np.float64)
    increments = np.diff(y)
    if y.size < MIN_ROUNDS:
        return _short(y, increments)
    least = max(yardstick.floor, yardstick.relative * float(np.median(y)))
    events = _events(y, increments, least, yardstick)
    kept = np.delete(increments, [event.index for event in events])
    test = mean_test(kept)
    fits = _Fits(fit_decay(kept), fit_settling(kept))
    ratio = _thirds_ratio(kept, max(least, 3 * mad(kept)))
    dies_away = _dies_away(kept, least, ratio, fits)
    rest = _rest(kept, least, fits.settling) if dies_away else 0.0
    later = None if not rest or events else _after_the_decay(y, least, fits.settling, yardstick)
    if later is not None:
        return later
    eps, mdl = _limits(kept, least, test, yardstick)
    if dies_away:  # noise is what scatters around the decay, not the decay itself
        eps = max(least, 3 * _scatter(kept, fits))
        if not rest and _nearly_done(
            kept, fits.decay
        ):  # a leak as small as the last increments may still hide behind them
            eps = max(eps, float(_last_third(kept).max()))
        tail = max(0.0, float(_last_third(kept).mean())) + 2 * _deviation(kept, fits)
        mdl = max(eps, tail, _QUANTA * yardstick.quantum / kept.size)
        shape = Shape.SETTLED if not rest and _over(kept, eps, fits.decay) else Shape.SLOWING
    elif _significant(kept, eps, test, yardstick):
        ends = _declines(ratio, fits.decay) or _just_stopped(kept, least, yardstick)
        shape = Shape.SLOWING if ends else Shape.LINEAR
        mdl = _limits(kept, least, replace(test, mean=0.0), yardstick)[1]  # the growth itself is no noise
    else:
        shape = _not_growing(kept, mdl, test, events, yardstick)
    line = trend(y if not events else y[0] + np.concatenate([[0.0], np.cumsum(kept)]))
    slope, low, high = line.slope, min(line.low, test.low), max(line.high, test.high)
    if dies_away:  # what the first rounds gained says nothing about the next ones
        slope = float(_last_third(kept).mean())
        low, high = slope - eps, slope + eps
    largest = max(events, key=lambda event: event.size, default=None)
    ceiling, rounds = (None, None) if rest else _outlook(shape, y, kept, fits.decay)
    return Growth(
        shape=shape,
        levels=tuple(float(v) for v in y),
        per_round=slope,
        low=low,
        high=high,
        eps=eps,
        mdl_per_round=mdl,
        typical=float(np.median(kept)),
        total=float(y[-1] - y[0]),
        z=line.z,
        t=test.t,
        ratio=ratio,
        step=None if largest is None else (largest.index, largest.size),
        ceiling=ceiling,
        rounds_to_ceiling=rounds,
        slightly_slowing=shape is Shape.LINEAR and fits.decay.q_high < _STEADY_HIGH,
        steady=fits.decay.q_low >= _STEADY_LOW and fits.decay.q_high >= _STEADY_HIGH,
    )


@dataclass(frozen=True, slots=True)
class _Fits:
    """Two curves through the increments: a decay to 0, and one to a steady growth."""

    decay: Decay
    settling: Settling


def judge_workers(levels: ArrayLike, yardstick: Yardstick) -> Growth:
    """The curve of the sum over workers; ``levels`` is (workers, rounds).

    Where that cannot be judged because each worker jumped once, each at another time, it is judged without these jumps: they are
    events."""
    matrix = np.asarray(levels, dtype=np.float64)
    curve = judge(matrix.sum(axis=0), yardstick)
    if curve.shape is not Shape.UNCLEAR or matrix.shape[0] == 1:
        return curve
    without = straightened(matrix, _JUMP_QUANTA * yardstick.quantum)
    if without is None:
        return curve
    flat = judge(without.sum(axis=0), yardstick)
    largest = int(np.argmax(np.diff(curve.levels)))
    jump = (largest, curve.levels[largest + 1] - curve.levels[largest])
    return replace(flat, levels=curve.levels, total=curve.total, step=jump) if flat.shape is Shape.FLAT else curve


def _limits(kept: Floats, least: float, test: MeanTest, yardstick: Yardstick) -> tuple[float, float]:
    """What an increment must be at least, and the steady growth that would be called growth with about 90 % power: each of the
    conditions with what it takes to meet it in spite of the noise."""
    eps = max(least, 3 * mad(kept))
    margin = _POWER_T * test.standard_error
    needed = student_t_quantile(_CONFIDENCE, kept.size - 1) * test.standard_error
    quantum_rate = _QUANTA * yardstick.quantum / kept.size
    last_four = _POWER_LAST_FOUR * float(kept.std(ddof=1))
    return eps, max(eps + last_four, needed + max(margin, test.mean), quantum_rate + margin)


def _significant(kept: Floats, eps: float, test: MeanTest, yardstick: Yardstick) -> bool:
    return (
        min(float(np.median(kept)), float(np.median(kept[-4:]))) >= eps
        and test.t >= student_t_quantile(_CONFIDENCE, kept.size - 1)
        and float(kept.sum()) >= _QUANTA * yardstick.quantum
    )


def _not_growing(kept: Floats, mdl: float, test: MeanTest, events: tuple[Step, ...], yardstick: Yardstick) -> Shape:
    """Flat, unless it cannot be told; several jumps in the first rounds and nothing since: settled."""
    doubtful = float(kept.sum()) >= 2 * yardstick.doubt and test.t >= 1
    if test.high > mdl or doubtful:
        return Shape.UNCLEAR
    if len(events) < 2:
        return Shape.FLAT
    if [event.index for event in events] == list(range(len(events))):
        return Shape.SETTLED
    return Shape.UNCLEAR if sum(event.size for event in events) >= 2 * yardstick.doubt else Shape.FLAT


def _events(y: Floats, increments: Floats, least: float, yardstick: Yardstick) -> tuple[Step, ...]:
    """Jumps that are left out of the trend. The first increment of a decay is none: the decay would lose its beginning."""
    single = _single_step(increments, yardstick)
    if single is not None:
        return (Step(*single),)
    found = steps(y, 2 * yardstick.floor).steps
    if [step.index for step in found] == [0]:
        fits = _Fits(fit_decay(increments), fit_settling(increments))
        if _dies_away(increments, least, _thirds_ratio(increments, least), fits):
            return ()
    return found


def _rest(kept: Floats, least: float, settling: Settling) -> float:
    """The steady growth that a decay leaves, 0 where none is certain."""
    tail = float(np.median(kept[-4:]))
    certain = settling.aicc_gain > 0 and settling.rest_low > 0
    return settling.rest if certain and min(settling.rest, tail) >= least else 0.0


def _after_the_decay(y: Floats, least: float, settling: Settling, yardstick: Yardstick) -> Growth | None:
    """What the floors say that come after the decay, if they are enough and grow steadily; None otherwise, and where the growth
    that is left may be the end of a decay of another kind."""
    if settling.fades or settling.first <= least / 2:
        return None
    over = math.ceil(math.log(least / 2 / settling.first) / math.log(settling.q))
    if over < 1 or y.size - over < MIN_ROUNDS:
        return None
    later = judge(y[over:], yardstick)
    if not later.grows or not later.steady:
        return None
    step = None if later.step is None else (later.step[0] + over, later.step[1])
    return replace(later, levels=tuple(float(v) for v in y), total=float(y[-1] - y[0]), step=step)


def _just_stopped(kept: Floats, least: float, yardstick: Yardstick) -> bool:
    """Whether it grew evenly and then, in the last round, not at all: a bound that has been reached looks like that."""
    before, last = kept[:-1], float(kept[-1])
    typical = float(np.median(before))
    return last < least and typical >= 2 * yardstick.quantum and typical - last > _RANGES * float(np.ptp(before))


def _dies_away(kept: Floats, least: float, ratio: float | None, fits: _Fits) -> bool:
    """Whether the increments follow a decay clearly better than a constant, around which they scatter little."""
    if ratio is None or ratio >= _LINEAR_RATIO or fits.decay.q_high >= 1 or fits.decay.aicc_gain <= 0:
        return False
    third = max(2, kept.size // 3)
    return float(kept[:third].mean()) > max(2 * least, 4 * _scatter(kept, fits))


def _scatter(kept: Floats, fits: _Fits) -> float:
    """Around the better of the two curves: a leak that a decay leaves is not noise."""
    around = mad(kept - fits.decay.first * fits.decay.q ** np.arange(kept.size))
    return min(around, fits.settling.scatter) if fits.settling.aicc_gain > 0 else around


def _deviation(kept: Floats, fits: _Fits) -> float:
    """Standard deviation around the better of the two curves, for the number of parameters."""
    index, decay, settling = np.arange(kept.size), fits.decay, fits.settling
    around = [(kept - decay.first * decay.q**index, 2)]
    if settling.aicc_gain > 0:
        around.append((kept - settling.first * settling.q**index - settling.rest, 3))
    return min(math.sqrt(float((left * left).sum()) / (kept.size - count)) for left, count in around)


def _over(kept: Floats, eps: float, decay: Decay) -> bool:
    """Whether the last third shows less than what counts, and the decay promises less."""
    return abs(float(_last_third(kept).mean())) <= eps and decay.first * decay.q**kept.size <= eps


def _nearly_done(kept: Floats, decay: Decay) -> bool:
    """Whether a clear decay has less than 3 % of its growth still to come."""
    rest = decay.remaining(kept.size)
    return rest is not None and decay.q_high < _CLEAR_DECAY and rest < _REST_SHARE * float(kept.sum())


def _last_third(kept: Floats) -> Floats:
    return kept[-max(2, kept.size // 3) :]


def _declines(ratio: float | None, decay: Decay) -> bool:
    """Whether the increments die away by more than noise explains. At a ratio below 0.5 noise is no excuse."""
    if ratio is None:
        return False
    return ratio < _DECLINE_RATIO or (ratio < _LINEAR_RATIO and (decay.q_high < 1 or decay.aicc_gain > 0))


def _thirds_ratio(kept: Floats, eps: float) -> float | None:
    """Mean of the last third of the increments over that of the first; None when the first third shows no growth."""
    third = max(2, kept.size // 3)
    first = float(kept[:third].mean())
    return None if first <= min(eps, float(np.abs(kept).max())) / 2 else float(kept[-third:].mean()) / first


def _single_step(increments: Floats, yardstick: Yardstick) -> tuple[int, float] | None:
    """The one increment that holds at least 80 % of all movement upwards: an event, not a slope."""
    ups = np.clip(increments, 0, None)
    index = int(np.argmax(ups))
    big = float(ups[index])
    if increments.size - 1 < _MIN_AFTER_STEP or big <= 2 * yardstick.floor:
        return None
    rest = np.delete(increments, index)
    stands_out = big > float(np.median(rest)) + 6 * mad(rest)
    return (index, big) if stands_out and big >= _STEP_SHARE * float(ups.sum()) else None


def _outlook(shape: Shape, y: Floats, kept: Floats, decay: Decay) -> tuple[float | None, float | None]:
    """Where a slowing series ends, if the decay goes on, and in how many rounds 90 % of the rest has come."""
    rest = decay.remaining(kept.size)
    if shape is not Shape.SLOWING or rest is None or rest <= 0 or decay.q <= 0:
        return None, None
    return float(y[-1]) + rest, math.log(0.1) / math.log(decay.q)


def _short(y: Floats, increments: Floats) -> Growth:
    enough = increments.size >= 2
    test = mean_test(increments) if enough else None
    return Growth(
        shape=Shape.SHORT,
        levels=tuple(float(v) for v in y),
        per_round=float(np.median(increments)) if increments.size else math.nan,
        low=test.low if test is not None else -math.inf,
        high=test.high if test is not None else math.inf,
        eps=math.nan,
        mdl_per_round=math.nan,
        typical=float(np.median(increments)) if increments.size else math.nan,
        total=float(y[-1] - y[0]) if y.size else 0.0,
        z=0.0,
        t=0.0,
        ratio=None,
        step=None,
        ceiling=None,
        rounds_to_ceiling=None,
        slightly_slowing=False,
        steady=False,
    )
