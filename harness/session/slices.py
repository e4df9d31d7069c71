"""Windows for a watch of unknown length, so that it can be judged whenever it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.clock import Clock
from harness.model.event import Window
from harness.model.span import PhaseName
from harness.store.writer import Recorder

SLICES = 12  # windows a watched stretch is cut into; growth is judged on at least 7 of them
MOST_SLICES = 2 * SLICES  # then they are joined in pairs
FIRST_SLICE_NS = 5_000_000_000  # a watch without an end can be judged after 7 of these


def first_slice_ns(seconds: float | None) -> int:
    """How long the first slices are. A watch of known length ends with `SLICES` full ones, and never has fewer for long."""
    if seconds is None:
        return FIRST_SLICE_NS
    length = seconds * 1e9 / SLICES
    while length > FIRST_SLICE_NS:
        length /= 2
    return max(1, round(length))


class GrowingSlices:
    """Cuts time into windows of equal length, each ending in a floor, their number between `SLICES` and `MOST_SLICES`.

    At the latter neighbours are joined and the next ones are twice as long; so floors, which cost a sweep of everything, become
    rarer the longer the watch goes on. A window that never ended is left out of the judgement, so the last one is closed only
    when it is about full.
    """

    def __init__(self, recorder: Recorder, floor: Callable[[], int], clock: Clock, length_ns: int) -> None:
        self._recorder = recorder
        self._floor = floor
        self._clock = clock
        self._length_ns = length_ns
        self._full: list[Window] = []
        self._open: tuple[int, Window] | None = None
        self._ends_ns = 0  # on a grid: the time that floors take does not add up

    def poll(self) -> bool:
        """Open the first window, or close a full one and open the next; whether one was closed."""
        now_ns = self._clock.monotonic_ns()
        if self._open is None:
            self._ends_ns = now_ns + self._length_ns
            self._begin()
            return False
        if now_ns < self._ends_ns:
            return False
        self._close()
        if len(self._full) >= MOST_SLICES:
            self._full = join_pairs(self._full)
            self._recorder.replace_windows(PhaseName.ROUNDS, self._full)
            self._length_ns *= 2
        # after a pause (a suspended machine, a stopped session) the grid begins anew
        self._ends_ns = max(self._ends_ns + self._length_ns, self._clock.monotonic_ns() + self._length_ns // 2)
        self._begin()
        return True

    def finish(self) -> None:
        """The watch is over: close the open window if it is nearly as long as the others."""
        if self._open is not None and self._ends_ns - self._clock.monotonic_ns() < self._length_ns // 8:
            self._close()

    def _begin(self) -> None:
        window = Window(PhaseName.ROUNDS, len(self._full), None, self._clock.monotonic_ns(), None, None)
        self._open = (self._recorder.open_window(window), window)

    def _close(self) -> None:
        assert self._open is not None
        identifier, window = self._open
        end_ns = self._clock.monotonic_ns()
        floor_ns = self._floor()
        self._recorder.close_window(identifier, end_ns, floor_ns)
        self._full.append(replace(window, end_ns=end_ns, floor_ns=floor_ns))
        self._open = None


def join_pairs(windows: Sequence[Window]) -> list[Window]:
    """Each two neighbours as one window that ends with the second's floor; an odd last one is left out. Pure."""
    return [
        replace(first, round=number, end_ns=second.end_ns, floor_ns=second.floor_ns)
        for number, (first, second) in enumerate(zip(windows[::2], windows[1::2], strict=False))
    ]
