"""Placing wall-clock times on the run's monotonic clock, and noticing when somebody moved the wall clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.event import Anchor, Event, Scalar
from harness.units import format_duration

_STEP_FLOOR_NS = 50_000_000
_SLEW = 5e-4  # the kernel slews the wall clock by at most 500 ppm; anything faster is a step


@dataclass(frozen=True, slots=True)
class Placed:
    """A wall time on the monotonic clock, right within ``error_ns``."""

    t_ns: int
    error_ns: int


class WallClock:
    """The wall clock of one host as seen through its anchors (sorted by monotonic time; may be empty)."""

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        self._anchors = tuple(sorted(anchors, key=lambda a: a.monotonic_ns))

    def steps(self) -> tuple[Event, ...]:
        """An event for each pair of anchors between which the wall clock moved faster than slewing allows."""
        events = []
        for before, after in zip(self._anchors, self._anchors[1:], strict=False):
            jump = _offset(after) - _offset(before)
            if abs(jump) > _allowed(before, after):
                text = f"the wall clock jumped by {'-' if jump < 0 else '+'}{format_duration(abs(jump))}"
                attributes: dict[str, Scalar] = {"jump_ns": jump, "since_ns": before.monotonic_ns, "host": after.host}
                events.append(Event(after.monotonic_ns, "clock.step", None, text, attributes))
        return tuple(events)

    def place(self, wall_ns: int, resolution_ns: int = 1) -> Placed | None:
        """Where ``wall_ns`` lies; None without anchors, or when a step makes more than one answer possible.

        ``resolution_ns`` is the grain of the source's clock (1 s for most logs): the answer is the middle of the grain.
        """
        middle = wall_ns + resolution_ns // 2
        found: list[Placed] = []
        for before, after in self._segments():
            offset = _offset(before)
            drift = 0 if after is None else _offset(after) - offset
            t_ns = middle - offset - drift // 2
            slack = resolution_ns // 2 + abs(drift) // 2
            starts = before is self._anchors[0] or before.monotonic_ns - slack <= t_ns
            ends = after is None or t_ns <= after.monotonic_ns + slack
            if starts and ends:
                found.append(Placed(t_ns, slack))
        if not found:
            return None
        spread = max(p.t_ns for p in found) - min(p.t_ns for p in found)
        best = min(found, key=lambda p: p.error_ns)
        if spread > 2 * (best.error_ns + _STEP_FLOOR_NS):
            return None
        return Placed(best.t_ns, best.error_ns + spread)

    def _segments(self) -> list[tuple[Anchor, Anchor | None]]:
        """Stretches over which the clocks keep their distance; across a step there is no such stretch."""
        result: list[tuple[Anchor, Anchor | None]] = []
        for index, before in enumerate(self._anchors):
            after = self._anchors[index + 1] if index + 1 < len(self._anchors) else None
            if after is None or abs(_offset(after) - _offset(before)) <= _allowed(before, after):
                result.append((before, after))
        return result


def _offset(anchor: Anchor) -> int:
    return anchor.wall_ns - anchor.monotonic_ns


def _allowed(before: Anchor, after: Anchor) -> float:
    return max(_STEP_FLOOR_NS, _SLEW * (after.monotonic_ns - before.monotonic_ns))
