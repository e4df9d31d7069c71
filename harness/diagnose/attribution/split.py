"""From observations to bytes per endpoint: which endpoints are proven to keep memory, how much, and with what uncertainty.

Model: growth of a worker over a block = sum over endpoints of (requests it answered) x (bytes each keeps) + seconds x (bytes a
second) + change of the garbage that waits (`garbage`). Two steps. First all endpoints get a coefficient of their own, and those
are proven that are above 0 beyond chance among all of them, by more than a step of memory, and in the later half too. Then the
model is fitted again with the proven ones, one coefficient for the requests to all others together (what every request keeps,
whichever it is), and time where the observations can tell it from requests. So noise is not spread over endpoints that keep
nothing, and growth that goes with time is not blamed on requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.garbage import Garbage
from harness.diagnose.attribution.lasting import MIN_STRETCHES, Doubt, doubt, more_than_all
from harness.diagnose.attribution.regression import Fit, Sample, error_coefficient, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_ERROR_RATE = 0.01  # chance that any endpoint of a run that keeps nothing is called proven
_LENIENT = 0.025  # the same for one endpoint that single requests have shown to keep something
_CERTAIN = 0.99  # one-sided, of the second step
_LASTING = 0.5  # of the whole run's estimate, in the later half
_SURE_OF_FADING = 2.0  # standard errors
_UNSEEN_ERROR = 0.015  # standard error beside what the rows show: tables that double, interpolated garbage
_NOTHING_LEFT = 1e-4  # the same: rounding, of a rate that is kept exactly
_TOLD_APART = 0.02  # of the variance of time that requests do not explain
_STAND_OUT = 2.0
_WORTH = 1.0  # standard errors: a coefficient below that adds more noise to the others than it takes away
_BENDS, _MOST_BENDS, _MOMENTS_A_BEND = 3, 8, 6  # degree
_REST, _TIME = "rest", "time"
_STEADY_TIME, _FIRST_BEND = "bend 0", "bend 1"  # columns of `bends`; the first may be left out, see ``Rows.clocked``


@dataclass(frozen=True, slots=True)
class Rows:
    """``counts`` (rows, endpoints), the others (rows,); in order of life, then time, as in `Observations`.

    ``garbage``: what waits to be collected; None where ``growth`` has nothing to do with it, or that is not known. ``trend``
    (rows, columns): bends of growth in time that are nobody's, see `bends`; None where blocks were arranged so that none can
    pass for an endpoint. ``clocked``: whether growth with time, its first column, is part of the model.
    """

    counts: Floats
    seconds: Floats
    growth: Floats
    life: Ints
    moment: Ints
    garbage: Garbage | None = None
    trend: Floats | None = None
    clocked: bool = True


def bends(counts: Floats, seconds: Floats, moment: Ints, answered: Floats) -> Floats:
    """(rows, 4 and more) growth that goes with time, and growth with requests whichever they are that gets more or less with
    those that the worker had answered before (``answered``): up to a cubic curve, and of a higher degree where there are so many
    floors that what such a curve misses would show.

    Where requests come as they please, the share of an endpoint may drift for the whole of the run, and a cache that fills then
    looks as if it were that endpoint's. Beside these columns only differences between the workers and from one slice to the
    next count, which are chance, and not what both follow for their own reasons."""
    after = answered + counts.sum(axis=1)
    first, last = float(answered.min(initial=0.0)), float(after.max(initial=1.0))
    degree = min(_MOST_BENDS, max(_BENDS, np.unique(moment).size // _MOMENTS_A_BEND))
    before, then = (
        np.polynomial.legendre.legvander(2.0 * (at - first) / max(1.0, last - first) - 1.0, degree + 1)[:, 2:]
        for at in (answered, after)
    )
    return np.column_stack([seconds, then - before])


def _own_time(seconds: Floats, life: Ints) -> Floats:
    """(rows, lives - 1) growth with time that one worker has more of than the others, for each that was seen for long.

    Where users, or whole endpoints, stick to a worker, what grows in that one for another reason (a scheduler that runs there
    only) looks as if it were those endpoints'. Beside these columns only what changes in a worker from one slice to the next
    tells them apart."""
    lives, rows = np.unique(life, return_counts=True)
    long = lives[rows >= MIN_STRETCHES]
    mine = [seconds * (life == each) for each in long]
    return np.column_stack([each - mine[0] for each in mine[1:]]) if len(mine) > 1 else np.zeros((seconds.size, 0))


@dataclass(frozen=True, slots=True)
class Part:
    """A coefficient with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes per request of one endpoint: (low, high) is its 95 % interval; ``later`` is from the second half of the blocks.

    ``faded``: above 0 beyond chance, but hardly so in the second half. ``doubt``: the same, but see `lasting`.
    """

    value: float
    low: float
    high: float
    later: float
    proven: bool = False
    faded: bool = False
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """``endpoints``: in the order of the columns. ``rest``: bytes per request to any endpoint that is not proven. ``time``: bytes
    per second and process. None where that could not be told from the others. ``rest_grows``: the first is
    above 0 by more than chance and a step of memory, ``rest_fades``: but in the first half of the run only."""

    endpoints: Sequence[Estimate]
    rest: Part | None
    time: Part | None
    rest_grows: bool
    rest_fades: bool

    @property
    def common(self) -> Part | None:
        """What every request certainly keeps, whichever endpoint it goes to."""
        return self.rest if self.rest_grows and not self.rest_fades else None


def split_growth(rows: Rows, grain: float, witnessed: Sequence[int] = ()) -> Split:
    """``grain``: bytes that steps of memory may add to the whole run, or hide. ``witnessed``: endpoints that keep something
    according to single requests."""
    columns = rows.counts.shape[1]
    rows = replace(rows, clocked=not _is_a_clock(rows))
    timed = _time_is_told_apart(rows)
    totals = [float(total) for total in rows.counts.sum(axis=0)]
    phi = _Terms.of(rows, range(columns), (), timed, None).phi
    first, proven = _screened(rows, timed, phi, witnessed)
    proven = [c for c in proven if first.value[c] * totals[c] > grain]
    if not timed or rows.trend is not None:
        proven = _standing_out(rows, proven, first, phi)
    later = _fit_later(rows, phi)
    terms = _Terms.of(rows, proven, proven, timed, phi)
    time = terms.part(_TIME if rows.trend is None else _STEADY_TIME)
    terms = terms.worthwhile()
    estimates = []
    for c in range(columns):
        part = terms.part(str(c))
        certain = part is not None and terms.certain(str(c))
        doubted = _doubt(rows, terms, c, grain) if certain and rows.trend is not None else None
        if part is not None and certain and doubted is None and not _fades(terms, str(c)):
            half = terms.half(str(c))[1].value
            estimates.append(_proven(part, half))
        else:
            step = grain / totals[c] if totals[c] else 0.0
            faded = certain and doubted is None
            estimates.append(replace(_unproven(first, c, step, float(later[c]), faded), doubt=doubted))
    rest = terms.part(_REST)
    others = sum(totals[c] for c in range(columns) if str(c) not in terms.names)
    common = rest is not None and rest.low > 0 and rest.value * others > grain
    return Split(estimates, rest, time, common, common and not terms.flows and _fades(terms, _REST))


def _doubt(rows: Rows, terms: _Terms, column: int, grain: float) -> Doubt | None:
    """See `lasting.doubt`."""
    part = terms.part(str(column))
    if part is not None and more_than_all(part.low * float(rows.counts[:, column].sum()), rows.growth, grain):
        return Doubt.PASSING
    rest = terms.names.index(_REST) if _REST in terms.names else None
    return doubt(terms.sample, rows.counts.sum(axis=1), terms.names.index(str(column)), terms.phi, rest)


def _proven(part: Part, later: float) -> Estimate:
    unseen = 1.96 * _UNSEEN_ERROR * part.value
    low, high = (math.hypot(part.value - side, unseen) for side in (part.low, part.high))
    return Estimate(part.value, max(0.0, part.value - low), part.value + high, later, proven=True)


def _screened(rows: Rows, timed: bool, phi: float, witnessed: Sequence[int]) -> tuple[Fit, list[int]]:
    """Every endpoint with a coefficient of its own, and those beyond chance. What an endpoint keeps makes the garbage of others
    smaller, so it is taken into account for each that is found before the next one is looked for."""
    columns = rows.counts.shape[1]
    keeping: list[int] = []
    while True:
        terms = _Terms.of(rows, range(columns), keeping, timed, phi).worthwhile((_TIME,))
        first = terms.fitted
        found = _beyond_chance(first, columns, witnessed)
        new = [c for c in found if c not in keeping]
        if rows.garbage is None or not new:
            return first, found
        keeping.append(max(new, key=lambda c: float(first.value[c] / first.error[c])))


def _beyond_chance(first: Fit, columns: int, witnessed: Sequence[int]) -> list[int]:
    found = first.beyond_chance(range(columns), _ERROR_RATE)
    reach = first.reach(1 - _LENIENT)
    return found + [
        c
        for c in witnessed
        if c not in found and math.isfinite(first.error[c]) and first.value[c] > reach * first.error[c]
    ]


def _unproven(first: Fit, column: int, step: float, later: float, faded: bool) -> Estimate:
    """Nothing, or up to what the observations allow; a step of memory that was free may have hidden that much more."""
    error = float(first.error[column])
    if not math.isfinite(error):
        return Estimate(0.0, 0.0, math.inf, 0.0)
    high = max(0.0, float(first.value[column])) + first.reach() * error
    return Estimate(0.0, 0.0, high + step, later, faded=faded)


def _standing_out(rows: Rows, proven: Sequence[int], first: Fit, phi: float) -> list[int]:
    """Those that certainly keep more than twice what requests to the others keep. Where nothing tells time from requests, growth
    with time looks as if every request kept something, and so does a cache that fills while requests come as they please: it must
    not prove anything about single endpoints."""
    found: list[int] = []
    for column in sorted(proven, key=lambda c: -float(first.value[c] / first.error[c])):
        terms = _Terms.of(rows, [*found, column], [*found, column], timed=False, phi=phi)
        own, rest = terms.part(str(column)), terms.part(_REST)
        if own is None or (rest is not None and own.low <= _STAND_OUT * max(0.0, rest.value)):
            break
        found.append(column)
    return found


def _fit_later(rows: Rows, phi: float) -> Floats:
    """Every endpoint's own coefficient in the second half of the blocks."""
    terms = _Terms.of(rows, range(rows.counts.shape[1]), (), timed=False, phi=phi)
    return fit(terms.sample.where(rows.moment >= terms.middle), phi).value


def _middle(rows: Rows) -> float:
    """The moment with which the second half begins: of the blocks, or of the requests where these come as they please, since the
    later half of the time may have hardly any."""
    if rows.trend is None:
        return float(np.median(rows.moment))
    moments, place = np.unique(rows.moment, return_inverse=True)
    done = np.cumsum(np.bincount(place, weights=rows.counts.sum(axis=1)))
    return float(moments[min(int(np.searchsorted(done, done[-1] / 2)) + 1, moments.size - 1)])


def _time_is_told_apart(rows: Rows) -> bool:
    """Whether time went by differently enough from requests; where each block takes as long as it has requests, nothing can say
    which of them memory grows with."""
    total = float(rows.seconds @ rows.seconds)
    if total <= 0 or rows.counts.shape[1] + 1 >= rows.growth.size:
        return False
    answer = np.linalg.lstsq(rows.counts, rows.seconds, rcond=None)[0]
    left = rows.seconds - rows.counts @ answer
    return float(left @ left) > _TOLD_APART * total


def _is_a_clock(rows: Rows) -> bool:
    """Whether requests that come as they please come at a rate so even that time is their number, as with one worker. Then growth
    with time is that of requests to all endpoints, and only what one keeps beyond that can be told."""
    if rows.trend is None:
        return False
    others = np.column_stack([rows.counts, rows.trend[:, 1:]])
    if others.shape[1] >= rows.growth.size:
        return False  # so few rows say anything
    left = rows.seconds - others @ np.linalg.lstsq(others, rows.seconds, rcond=None)[0]
    return float(left @ left) <= _NOTHING_LEFT * float(rows.seconds @ rows.seconds)


def _fades(terms: _Terms, name: str) -> bool:
    """Whether the growth of an endpoint is a matter of the first half: a cache that filled."""
    earlier, later = terms.half(name)
    whole = terms.part(name)
    assert whole is not None
    if later.value >= _LASTING * whole.value:
        return False
    apart = math.hypot(earlier.error, later.error)
    little = later.value + later.error < _LASTING * whole.value if terms.flows else later.value <= later.error
    return little or earlier.value - later.value > _SURE_OF_FADING * apart


@dataclass(frozen=True, slots=True)
class _Coefficient:
    value: float
    error: float


@dataclass(frozen=True, slots=True)
class _Terms:
    """The second step's model: named columns, and its fit. ``middle``: see `_middle`."""

    names: tuple[str, ...]
    sample: Sample
    phi: float
    fitted: Fit
    middle: float

    @classmethod
    def of(cls, rows: Rows, own: Sequence[int], keeping: Sequence[int], timed: bool, phi: float | None) -> _Terms:
        """``own``: endpoints with a coefficient of their own, first in the design; ``keeping``: those that are taken to keep
        containers; ``phi``: see `regression.fit`, None: estimate it."""
        parts: dict[str, Floats] = {str(c): rows.counts[:, c] for c in own}
        others = [c for c in range(rows.counts.shape[1]) if c not in own]
        if others:
            parts[_REST] = rows.counts[:, others].sum(axis=1)
        if rows.garbage is not None:
            parts |= {f"garbage {i}": column for i, column in enumerate(rows.garbage.collector.T)}
            parts |= {f"waiting {c}": rows.garbage.waiting[:, c] for c in keeping}
        if rows.trend is not None:
            parts |= {f"bend {i}": column for i, column in enumerate(rows.trend.T) if i or rows.clocked}
            parts |= {f"own time {i}": column for i, column in enumerate(_own_time(rows.seconds, rows.life).T)}
        elif timed:
            parts[_TIME] = rows.seconds
        sample = Sample(np.column_stack(list(parts.values())), rows.growth, rows.life, rows.moment)
        return cls._fit(tuple(parts), sample, error_coefficient(sample) if phi is None else phi, _middle(rows))

    @classmethod
    def _fit(cls, names: Sequence[str], sample: Sample, phi: float, middle: float) -> _Terms:
        return cls(tuple(names), sample, phi, fit(sample, phi), middle)

    def worthwhile(self, names: Sequence[str] = (_TIME, _REST)) -> _Terms:
        """Without time, or the others, where they are not above 0 by as much as their error."""
        terms = self
        for name in names:
            if name not in terms.names or len(terms.names) == 1:
                continue
            found = terms.coefficient(name)
            if not (math.isfinite(found.error) and found.value >= _WORTH * found.error):
                kept = [n for n in terms.names if n != name]
                design = np.delete(terms.sample.design, terms.names.index(name), axis=1)
                terms = self._fit(kept, terms.sample.columns(design), terms.phi, terms.middle)
        return terms

    @property
    def flows(self) -> bool:
        """Whether requests came as they pleased. Then a half may tell little, which is no sign that growth has ended; what did
        not last is looked for by other means (`lasting`)."""
        return _FIRST_BEND in self.names

    def coefficient(self, name: str) -> _Coefficient:
        at = self.names.index(name)
        return _Coefficient(float(self.fitted.value[at]), float(self.fitted.error[at]))

    def certain(self, name: str) -> bool:
        """Whether it is above 0 by more than its interval."""
        found = self.coefficient(name)
        return found.value > self.fitted.reach(_CERTAIN) * found.error

    def part(self, name: str) -> Part | None:
        """None where it is not in the model, or cannot be told from the rest of it."""
        if name not in self.names:
            return None
        found = self.coefficient(name)
        reach = self.fitted.reach() * found.error
        return Part(found.value, found.value - reach, found.value + reach) if math.isfinite(reach) else None

    def half(self, name: str) -> tuple[_Coefficient, _Coefficient]:
        """The same coefficient from the first and from the second half of the blocks."""
        at = self.names.index(name)
        found = []
        for rows in (self.sample.moment < self.middle, self.sample.moment >= self.middle):
            fitted = fit(self.sample.where(rows), self.phi)
            found.append(_Coefficient(float(fitted.value[at]), float(fitted.error[at])))
        return found[0], found[1]
