"""Waiting until processes have nothing more to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from harness.model.process import ProcessInfo
from harness.session.pump import Pump
from harness.targets.quiet import cpu_ns

_SHARE = 0.05  # of one core
_STEP_S = 0.05
_LEAST_S = 0.2  # one clock tick (10 ms) of noise is allowed


def wait_until_quiet(pump: Pump, pids: Callable[[], Iterable[int]], settle_s: float, limit_s: float) -> bool:
    """Pump until the processes used under 5 % of a core for ``settle_s``; False when that did not come within ``limit_s``."""
    deadline = time.monotonic() + limit_s
    followed = list(pids())
    since, before = time.monotonic(), cpu_ns(followed)
    while True:
        pump.until(lambda: False, min(_STEP_S, settle_s))
        now, used = time.monotonic(), cpu_ns(followed)
        if (used - before) / 1e9 > _SHARE * max(now - since, _LEAST_S):
            followed = list(pids())
            since, before = now, cpu_ns(followed)
        if now - since >= settle_s:
            return True
        if now >= deadline:
            return False


def of_this_machine(infos: Iterable[ProcessInfo]) -> list[int]:
    """The ids of those that can be looked at here: ids of another host are somebody else's in this /proc."""
    return [info.key.pid for info in infos if not info.key.host]
