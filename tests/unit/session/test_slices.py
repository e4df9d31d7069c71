"""Slices of a watch: at any moment few enough to be cheap, many enough to be judged, and alike."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import FakeClock
from harness.diagnose.growth import MIN_ROUNDS
from harness.model.event import Window
from harness.model.run import RunManifest, RunStatus
from harness.model.span import PhaseName
from harness.session.slices import FIRST_SLICE_NS, MOST_SLICES, SLICES, GrowingSlices, first_slice_ns, join_pairs
from harness.store import layout
from harness.store.reader import read_run
from harness.store.writer import Recorder

SECOND = 1_000_000_000


class Watch:
    """A watch on a clock that moves when told, recorded for real; a floor takes ``floor_s``."""

    def __init__(self, directory: Path, length_ns: int, floor_s: float = 0.05) -> None:
        self.recorder = Recorder(layout.new_run_directory(directory, "now", "watch"))
        self.recorder.manifest(
            RunManifest(layout.FORMAT, "r", "0", "w", "w", {}, {}, "any", 0, 0, None, RunStatus.RECORDING, "", {})
        )
        self.clock = FakeClock(now_ns=1)
        self.floor_s = floor_s
        self.floors = 0
        self.slices = GrowingSlices(self.recorder, self._floor, self.clock, length_ns)

    def _floor(self) -> int:
        self.floors += 1
        at = self.clock.now_ns
        self.clock.sleep(self.floor_s)
        return at

    def go_on(self, seconds: float, step_s: float = 0.2) -> None:
        end = self.clock.now_ns + int(seconds * SECOND)
        while self.clock.now_ns < end:
            self.slices.poll()
            self.clock.sleep(step_s)

    def windows(self) -> list[Window]:
        """The complete ones, read back from disk while recording goes on."""
        self.recorder.commit()
        return [w for w in read_run(self.recorder.path).windows if w.phase is PhaseName.ROUNDS and w.end_ns is not None]


def lengths(windows: list[Window]) -> list[float]:
    return [((w.end_ns or 0) - w.start_ns) / SECOND for w in windows]


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 11, 30, 61, 48 * 60])
def test_a_watch_without_an_end_can_be_judged_whenever_it_ends(tmp_path: Path, minutes: int) -> None:
    watch = Watch(tmp_path, first_slice_ns(None))
    watch.go_on(60 * minutes, step_s=0.2 if minutes < 100 else 4)
    found = watch.windows()
    watch.recorder.close()
    assert MIN_ROUNDS <= SLICES - 1 <= len(found) <= MOST_SLICES
    assert [w.round for w in found] == list(range(len(found)))
    assert all(w.floor_ns is not None and w.floor_ns >= (w.end_ns or 0) for w in found)
    assert max(lengths(found)) <= 1.15 * min(lengths(found)), "rounds are alike"
    assert all((a.floor_ns or 0) <= b.start_ns for a, b in pairwise(found))
    assert watch.floors <= MOST_SLICES + SLICES * math.ceil(math.log2(max(2, 60 * minutes / 120))), (
        "one more dozen each doubling"
    )


@pytest.mark.parametrize("seconds", [3, 10, 59, 60, 61, 119, 600, 3600, 86_400])
def test_a_watch_of_known_length_ends_with_full_slices(tmp_path: Path, seconds: int) -> None:
    watch = Watch(tmp_path, first_slice_ns(seconds), floor_s=0.01)
    watch.go_on(seconds, step_s=max(0.02, seconds / 20_000))
    watch.slices.finish()
    found = watch.windows()
    watch.recorder.close()
    assert SLICES - 1 <= len(found) <= MOST_SLICES
    assert sum(lengths(found)) >= 0.9 * seconds, "nearly all of it is judged"
    assert max(lengths(found)) <= 1.3 * min(lengths(found))


def test_a_short_rest_is_left_open(tmp_path: Path) -> None:
    watch = Watch(tmp_path, FIRST_SLICE_NS)
    watch.go_on(42)
    before = watch.windows()
    watch.slices.finish()
    assert watch.windows() == before
    watch.recorder.close()
    assert [w.end_ns is None for w in read_run(watch.recorder.path).windows][-1]


def test_after_a_pause_the_next_slice_is_not_cut_short(tmp_path: Path) -> None:
    watch = Watch(tmp_path, FIRST_SLICE_NS)
    watch.go_on(12)
    watch.clock.sleep(3600)
    watch.go_on(20)
    found = lengths(watch.windows())
    watch.recorder.close()
    assert sum(length > 3000 for length in found) == 1
    assert min(found) >= 0.45 * FIRST_SLICE_NS / SECOND


@given(count=st.integers(0, 50))
def test_joined_pairs_cover_the_same_time(count: int) -> None:
    windows = [Window(PhaseName.ROUNDS, i, None, 10 * i, 10 * i + 8, 10 * i + 9) for i in range(count)]
    joined = join_pairs(windows)
    assert [w.round for w in joined] == list(range(count // 2))
    for number, window in enumerate(joined):
        assert window.start_ns == windows[2 * number].start_ns
        assert (window.end_ns, window.floor_ns) == (windows[2 * number + 1].end_ns, windows[2 * number + 1].floor_ns)
