"""What the floors of the rounds so far say of each pool: a word for those who watch, no verdict.

The verdict needs seven rounds and looks at workers, allocators and endpoints (docs/diagnosis.md); this looks at the sum of PSS
alone, with the test for the mean increment that the verdict uses as well (`harness.diagnose.growth`).
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.diagnose.growth import MIN_ROUNDS, Growth, Shape, Yardstick, judge
from harness.units import format_bytes

_FLOOR_BYTES = 64 * 1024.0
_STEP_BYTES = 256 * 1024.0
_FEWEST = 4
_MOST_POOLS = 32


class EarlyFindings:
    """Fed with the size of each pool at the floor of each measured round."""

    def __init__(self) -> None:
        self._levels: dict[str, list[int]] = {}
        self.words: dict[str, str] = {}  # by pool: the latest

    def round_ended(self, sizes: Mapping[str, int]) -> list[str]:
        """Sentences that are new: what a pool does has begun or ended to look like growth. A pool that was not measured at
        one of the floors starts anew."""
        said = []
        for pool in [pool for pool in self._levels if pool not in sizes]:
            del self._levels[pool]
            self.words.pop(pool, None)
        for pool, size in list(sizes.items())[:_MOST_POOLS]:
            levels = self._levels.setdefault(pool, [])
            levels.append(size)
            if len(levels) < _FEWEST:
                continue
            before, now = self.words.get(pool), _word(judge(levels, Yardstick(_FLOOR_BYTES, _STEP_BYTES, _STEP_BYTES)))
            self.words[pool] = f"{now} ({len(levels)} rounds{_more(len(levels))})"
            if before is None or before.partition(" ")[0] != now.partition(" ")[0]:
                said.append(f"so far: {pool} {self.words[pool]}")
        return said


def _word(curve: Growth) -> str:
    amount = f"{format_bytes(curve.per_round, sign=True)} a round"
    interval = f"95 % CI {format_bytes(curve.low, sign=True)} to {format_bytes(curve.high, sign=True)}"
    if curve.shape is Shape.SLOWING:
        return f"grows ever less, {amount}"
    if curve.grows or (curve.shape is Shape.SHORT and curve.low > 0 and curve.per_round >= _FLOOR_BYTES):
        return f"grows, {amount}, {interval}"
    if curve.shape in (Shape.FLAT, Shape.SETTLED):
        return f"stays level, {interval} a round"
    return f"cannot be judged yet, {amount}, {interval}"


def _more(rounds: int) -> str:
    return "" if rounds >= MIN_ROUNDS else f"; a verdict needs {MIN_ROUNDS}"
