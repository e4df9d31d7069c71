"""Does memory grow because requests are answered, or because time goes by?

A background thread, a timer or a connection that fills a buffer makes memory grow without any request, and a closed loop of
equal blocks makes both look the same. They are told apart by blocks of different sizes, by the pauses between them, and by the
stretch without traffic after the last round (`harness/session/workload.py`).
"""

from __future__ import annotations

import numpy as np

from harness.diagnose.attribution.model import Driven, Driver
from harness.diagnose.attribution.observations import Observations
from harness.diagnose.attribution.split import Part
from harness.units import format_bytes, format_duration

_MOST = 0.5


def driven_by(seen: Observations, time: Part | None, grown: float, noise: float) -> Driven:
    """``time``: bytes per second and process of the split; ``grown``: bytes over all observations, ``noise``: what of that may be
    chance."""
    idle_s = seen.idle_s
    if time is None:
        return Driven(Driver.UNKNOWN, "time and requests went the same way in every block", idle_s=idle_s)
    seconds = float(seen.seconds.sum())
    if grown <= noise:
        return Driven(Driver.UNKNOWN, "there was no growth over the blocks", idle_s=idle_s)
    low, share, high = (v * seconds / grown for v in (time.low, time.value, time.high))
    rate = time.value * _at_once(seen)
    text = f"{round(100 * share)} % of the growth went with time (95 % CI {round(100 * low)} to {round(100 * high)} %)"
    watched = f", {format_duration(idle_s * 1e9)} without traffic among it" if idle_s else ""
    if high < _MOST:
        by, reason = Driver.REQUESTS, f"memory grows with requests: {text}{watched}"
    elif low > _MOST:
        by = Driver.TIME
        reason = f"memory grows with time, by {format_bytes(rate)} a second, requests or not: {text}{watched}"
    else:
        by, reason = Driver.UNKNOWN, f"whether with requests or with time is not certain: {text}{watched}"
    return Driven(by, reason, share, (low, high), rate, idle_s)


def _at_once(seen: Observations) -> float:
    """Processes that were observed at a time: fewer than there were lives, where workers are replaced."""
    _, place = np.unique(seen.moment, return_inverse=True)
    longest = np.zeros(int(place.max(initial=0)) + 1)
    np.maximum.at(longest, place, seen.seconds)
    return float(seen.seconds.sum() / longest.sum())
