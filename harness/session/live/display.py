"""What people see while a run is recorded: a live view on a terminal, lines elsewhere. Both look on as observers."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TextIO

from harness.model.span import PhaseName
from harness.session.guardrails import Rail
from harness.session.live.early import EarlyFindings
from harness.session.live.state import LiveState
from harness.session.live.terminal import Block, size_of, style_of
from harness.session.live.traffic import Traffic
from harness.session.live.view import Style, render
from harness.session.progress import Progress
from harness.session.sampler_client import TickView
from harness.targets.detect import printable

_REDRAW_S = 0.5
_PHASES: Mapping[str, str] = {
    PhaseName.PREFLIGHT: "starting",
    PhaseName.LAUNCH: "starting",
    PhaseName.COOLDOWN: "ending",
}
_EARLY_COLUMNS = 160
_MISSING_COLUMNS = 140  # the whole reason is in the report


class Display(Progress):
    """Plain lines; says what the rounds so far look like, and, where asked to, once what the sampler does not get."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, plain: bool = False, tell_missing: bool = True) -> None:
        super().__init__(stream, quiet=quiet, plain=plain)
        self._said = 0
        self._tell_missing = tell_missing
        self._early = EarlyFindings()

    def round_ended(self, sizes: Mapping[str, int]) -> None:
        for sentence in self._early.round_ended(sizes):
            self.log(printable(sentence, _EARLY_COLUMNS))

    def on_tick(self, view: TickView) -> None:
        """An observer of the sampler."""
        if not self._tell_missing:
            return
        for missing in view.missing[self._said :]:
            self.step(printable(f"not measured: {missing.signal}: {missing.reason}", _MISSING_COLUMNS))
        self._said = len(view.missing)


class LiveDisplay(Display):
    """A view that is redrawn in place; lasting lines scroll past above it."""

    def __init__(
        self,
        stream: TextIO,
        state: LiveState,
        style: Style,
        now_ns: Callable[[], int] = time.monotonic_ns,
        *,
        tell_missing: bool = True,
    ) -> None:
        super().__init__(stream, plain=True, tell_missing=tell_missing)
        self._traffic_at = 0.0
        self._state = state
        self._style = style
        self._now_ns = now_ns
        self._block = Block(self._write, lambda: size_of(stream))
        self._drawn_at = 0.0
        self._previous: Callable[[int, FrameType | None], object] | int | None = None
        with contextlib.suppress(ValueError):  # not the main thread: then a stopped view is not redrawn cleanly
            self._previous = signal.signal(signal.SIGCONT, self._on_continue)

    def step(self, text: str) -> None:
        self._block.clear()
        super().step(text)
        self._draw()

    def log(self, text: str) -> None:
        """The view shows it."""

    def live(self, text: str, levels: str = "") -> None:
        self._state.status = _PHASES.get(text, text)
        if time.monotonic() - self._drawn_at >= _REDRAW_S:
            self._draw()

    def wants_traffic(self) -> bool:
        return time.monotonic() - self._traffic_at >= _REDRAW_S

    def traffic(self, traffic: Traffic | None, rails: Sequence[Rail]) -> None:
        self._traffic_at = time.monotonic()
        self._state.load(traffic, rails)

    def round_ended(self, sizes: Mapping[str, int]) -> None:
        super().round_ended(sizes)
        self._state.early = self._early.words

    def on_tick(self, view: TickView) -> None:
        super().on_tick(view)
        self._state.observe(view)
        if time.monotonic() - self._drawn_at >= _REDRAW_S:
            self._draw()

    def done(self) -> None:
        """The last frame stays."""
        self._draw()
        self._block.leave()
        if self._previous is not None:
            signal.signal(signal.SIGCONT, self._previous)
            self._previous = None

    def _draw(self) -> None:
        if not self._state.ticks:
            return  # nothing to show yet
        self._drawn_at = time.monotonic()
        room = self._block.room
        self._block.draw(render(self._state.snapshot(self._now_ns()), room.columns, room.lines, self._style))

    def _on_continue(self, _number: int, _frame: FrameType | None) -> None:
        self._block.forget()


def display_on(
    stream: TextIO,
    environ: Mapping[str, str],
    *,
    title: str,
    interval_ns: int,
    plain: bool = False,
    quiet: bool = False,
    tell_missing: bool = True,
) -> Display:
    """The fullest display that the stream can show and the user wants. ``tell_missing``: say what the sampler does not get."""
    style = None if plain or quiet else style_of(stream, environ)
    if style is None:
        dumb = environ.get("TERM", "dumb") == "dumb"
        return Display(stream, quiet=quiet, plain=plain or dumb, tell_missing=tell_missing)
    return LiveDisplay(stream, LiveState(title, interval_ns, time.monotonic_ns()), style, tell_missing=tell_missing)
