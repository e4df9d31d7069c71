"""Births and deaths on this host between two sweeps, from the kernel's own events, where this user may have them."""

from __future__ import annotations

import time
from typing import Dict, Iterable, List, NamedTuple

from .missing import MissingSignals
from .sources import proc_events, taskstats
from .sources.proc_events import Exit, Fork
from .sources.taskstats import ExitStats

_COSTS = "a process that comes and goes between two sweeps is not seen, and exits are known to one sweep only"
_TOO_DEAR = 0.3  # of the sampler's whole budget
_SMOOTHING = 0.02  # a burst is no reason, a minute of it is


class Changes(NamedTuple):
    """What happened since the last sweep."""

    forks: List[Fork]
    exits: Dict[int, Exit]
    accounts: Dict[int, ExitStats]
    complete: bool  # False: no events, or some were lost; the tree must be looked at itself


NOTHING = Changes([], {}, {}, complete=False)


def no_events() -> Changes:
    """What there is of a tree that is not this host's own."""
    return NOTHING


class Lifecycle:
    """Both subscriptions. Without them the sampler looks at the tree in every sweep."""

    def __init__(self, missing: MissingSignals, budget_ns: float) -> None:
        self._missing = missing
        self._budget_ns = budget_ns  # the whole sampler's CPU time for one sweep
        self._cost_ns = 0.0
        self._events: proc_events.ProcEvents | None = None
        self._accounts: taskstats.Accounts | None = None
        try:
            self._events = proc_events.ProcEvents()
        except proc_events.Unavailable as error:
            missing.say("process.events", str(error), _COSTS)
            return
        try:
            self._accounts = taskstats.Accounts()
        except OSError as error:
            missing.say(
                "process.exit_accounts",
                "the kernel's exit accounts are not to be had: {}".format(error),
                "the high-water mark of a process that ended is that of its last sweep",
            )

    def changes(self) -> Changes:
        """Forks in their order; exits and accounts by pid."""
        if self._events is None:
            return NOTHING
        before_ns = time.thread_time_ns()
        events, lost = self._events.drain()
        accounts = self._accounts.drain() if self._accounts is not None else {}
        changes = Changes(
            [e for e in events if isinstance(e, Fork)],
            {e.pid: e for e in events if isinstance(e, Exit)},
            accounts,
            complete=not lost,
        )
        self._cost_ns += _SMOOTHING * (time.thread_time_ns() - before_ns - self._cost_ns)
        if self._cost_ns > _TOO_DEAR * self._budget_ns:
            self.close()
            self._missing.say(
                "process.events", "this host starts so many processes that following its events is too dear", _COSTS
            )
        return changes

    def close(self) -> None:
        """Unsubscribe from both."""
        for subscription in (self._events, self._accounts):
            if subscription is not None:
                subscription.close()
        self._events = self._accounts = None


def children_of(forks: Iterable[Fork], parents: Dict[int, str]) -> Dict[int, Fork]:
    """The forks below ``parents`` (pid -> pool), also of children that are new themselves; pools are filled in.

    A pid that was used twice between two sweeps stands for its later owner.
    """
    found: Dict[int, Fork] = {}
    for fork in forks:
        pool = parents.get(fork.parent)
        if pool is not None:
            parents[fork.child] = pool
            found[fork.child] = fork
    return found
