"""A curve of any length in a bounded number of points, with the lowest and the highest of every stretch. Pure."""

from __future__ import annotations

from itertools import groupby

POINTS_CAP = 5_000

Moment = tuple[int, int, int, bool]
"""Time, bytes, and two marks of the caller (which call; whether it is leaving)."""


def extremes(moments: list[Moment]) -> list[Moment]:
    """The lowest and the highest in their order, the first of equals; one moment when they are the same."""
    if len(moments) < 2:
        return moments
    sizes = [moment[1] for moment in moments]
    low, high = sizes.index(min(sizes)), sizes.index(max(sizes))
    return [moments[low]] if low == high else [moments[min(low, high)], moments[max(low, high)]]


class Thinned:
    """Takes moments in order of time. The first `POINTS_CAP` are kept as they are; from then on time is divided into stretches
    of equal length, each with its extremes, and when there are too many of them, neighbours become one.

    `limit` is the time at which the current stretch ends: a reader that keeps the extremes of a stretch itself needs to call
    only then.
    """

    _STRETCHES = POINTS_CAP // 2 - 1  # two each, the first moment and the last

    def __init__(self) -> None:
        self.limit = -1
        self._all: list[Moment] = []
        self._width = 0
        self._start = 0
        self._stretches: dict[int, list[Moment]] = {}

    def add(self, moments: list[Moment]) -> None:
        """One moment, or the extremes of a stretch that is over (all of one stretch)."""
        if self._width == 0:
            self._all += moments
            if len(self._all) > POINTS_CAP:
                self._divide()
            return
        self._put(moments)

    def open(self, time: int) -> None:
        """A stretch with this time in it begins: sets `limit`."""
        if self._width:
            while (number := (time - self._start) // self._width) >= self._STRETCHES:
                self._double()
            self.limit = self._start + (number + 1) * self._width

    def points(self) -> list[Moment]:
        """What is left: at most `POINTS_CAP` less two, in order."""
        if self._width == 0:
            return list(self._all)
        return [moment for stretch in self._stretches.values() for moment in stretch]

    def _divide(self) -> None:
        self._start = self._all[0][0]
        self._width = (self._all[-1][0] - self._start) // self._STRETCHES + 1
        for number, group in groupby(self._all, key=lambda moment: (moment[0] - self._start) // self._width):
            self._stretches[number] = extremes(list(group))
        self._all.clear()

    def _put(self, moments: list[Moment]) -> None:
        number = (moments[0][0] - self._start) // self._width
        before = self._stretches.get(number)
        self._stretches[number] = moments if before is None else extremes(before + moments)

    def _double(self) -> None:
        self._width *= 2
        merged: dict[int, list[Moment]] = {}
        for number, moments in self._stretches.items():
            before = merged.get(number >> 1)
            merged[number >> 1] = moments if before is None else extremes(before + moments)
        self._stretches = merged
