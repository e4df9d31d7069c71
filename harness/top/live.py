"""The view that refreshes itself: on a terminal with keys, else as one table or one line of JSON after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from harness.top.model import By, Look, Snapshot, Sort
from harness.top.screen import QUIT, RESIZED, Screen
from harness.top.table import Paper, render

KEYS = "q quit   sort: p PSS  u USS  r RSS  s swap  g growth   by: 1 process  2 pool  3 cgroup  4 user"
_SORT_KEYS = {"p": Sort.PSS, "u": Sort.USS, "r": Sort.RSS, "s": Sort.SWAP, "g": Sort.GROWTH}
_BY_KEYS = {"1": By.PROCESS, "2": By.POOL, "3": By.CGROUP, "4": By.USER}

TakeLook = Callable[[], Look]


class View(NamedTuple):
    """What is shown and how it is ordered."""

    by: By
    sort: Sort

    def after(self, key: str) -> View:
        """As a key changes it; other keys change nothing."""
        return View(_BY_KEYS.get(key, self.by), _SORT_KEYS.get(key, self.sort))


class Window:
    """Keeps an earlier look to measure growth against: between half of ``over_ns`` and all of it old, once there is one so old.

    Two looks are all that is kept, however long the view runs.
    """

    def __init__(self, over_ns: int) -> None:
        self._over_ns = over_ns
        self._base: Look | None = None
        self._middle: Look | None = None

    def earlier(self, now: Look) -> Look | None:
        """What to compare ``now`` with; None at first, and always when growth is not asked for (0)."""
        if self._over_ns == 0:
            return None
        if self._base is None or self._middle is None:
            self._base = self._middle = now
            return None
        if now.taken_ns - self._base.taken_ns > self._over_ns:
            self._base, self._middle = self._middle, now
        elif now.taken_ns - self._middle.taken_ns >= self._over_ns / 2 and self._middle is self._base:
            self._middle = now
        return None if self._base is now else self._base


Shown = Callable[[Look, Look | None, View], Snapshot]


def on_screen(
    look: TakeLook,
    shown: Shown,
    view: View,
    window: Window,
    interval_ns: int,
    limit: int | None,
    colour: bool,
    hint: str,
) -> None:
    """Until q. Raises KeyboardInterrupt for INT, TERM and HUP; the terminal is as it was in every case."""
    with Screen() as screen:
        while True:
            started_ns = time.monotonic_ns()
            now = look()
            then = window.earlier(now)
            while True:
                columns, lines = screen.size()
                screen.draw(
                    render(shown(now, then, view), Paper(columns, lines, colour), limit=limit, hint=hint, keys=KEYS)
                )
                key = screen.wait(started_ns + interval_ns)
                if key == QUIT:
                    return
                if key is None:
                    break
                if key != RESIZED:
                    view = view.after(key)


def as_text(look: TakeLook, print_one: Callable[[Look, Look | None], None], window: Window, interval_ns: int) -> None:
    """For ever, or until the reader is gone (BrokenPipeError) or a signal ends it."""
    next_ns = time.monotonic_ns()
    while True:
        now = look()
        print_one(now, window.earlier(now))
        next_ns = max(next_ns + interval_ns, time.monotonic_ns())
        time.sleep(max(0.0, (next_ns - time.monotonic_ns()) / 1e9))
