"""What is said where there is no terminal."""

from __future__ import annotations

import io

from ticks import process, tick

from harness.model.event import Missing
from harness.model.span import PhaseName
from harness.session.live.display import Display, LiveDisplay, display_on
from harness.session.live.state import LiveState
from harness.session.live.traffic import Traffic
from harness.session.live.view import Style


def test_what_is_not_measured_is_said_once_and_short() -> None:
    stream = io.StringIO()
    display = Display(stream)
    first = Missing("process.memory.pss", "permission denied\x1b[2J", "everything")
    second = Missing("settings", "x" * 1000, "nothing")
    for missing in ((first,), (first,), (first, second), (first, second)):
        display.on_tick(tick(1, {process(1): None}, missing=missing))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("not measured: process.memory.pss: permission denied?[2J")
    assert lines[1].endswith("...")
    assert len(lines[1]) < 160


def test_a_stream_that_is_no_terminal_gets_lines_and_a_quiet_one_nothing() -> None:
    stream = io.StringIO()
    display = display_on(stream, {"TERM": "xterm", "LANG": "C.UTF-8"}, title="t", interval_ns=10**9)
    assert not isinstance(display, LiveDisplay)
    display.step("a step")
    display.live("passing")
    display.log("a line")
    display.done()
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == ["a step", "a line"]
    silent = io.StringIO()
    display_on(silent, {}, title="t", interval_ns=10**9, quiet=True).step("a step")
    assert silent.getvalue() == ""


def test_phases_of_a_run_have_words_that_fit_a_watch() -> None:
    state = LiveState("t", 10**9, 0)
    display = LiveDisplay(io.StringIO(), state, Style())
    said = []
    for text in (PhaseName.LAUNCH, "watching, 3 s left", PhaseName.COOLDOWN):
        display.live(text)
        said.append(state.status)
    display.done()
    assert said == ["starting", "watching, 3 s left", "ending"]


def test_a_run_says_what_its_rounds_look_like_but_not_what_the_sampler_lacks() -> None:
    stream = io.StringIO()
    display = display_on(stream, {}, title="t", interval_ns=10**9, tell_missing=False)
    display.on_tick(tick(1, {process(1): None}, missing=(Missing("settings", "why", "nothing"),)))
    assert not display.wants_traffic()
    for number in range(5):
        display.round_ended({"app": (100 + 2 * number) << 20})
    (line,) = stream.getvalue().splitlines()
    assert line.partition("] ")[2].startswith("so far: app grows, +2.0 MiB a round")


def test_the_live_view_takes_traffic_twice_a_second_and_shows_early_words_instead_of_lines() -> None:
    stream, state = io.StringIO(), LiveState("t", 10**9, 0)
    display = LiveDisplay(stream, state, Style())
    assert display.wants_traffic()
    display.traffic(Traffic(1, 10.0, 1, 1, 1, 0, 0), ())
    assert not display.wants_traffic()
    for number in range(5):
        display.round_ended({"app": (100 + 2 * number) << 20})
    display.done()
    assert state.snapshot(2).sent == (1, 0, 0)
    assert [pool for pool, _ in state.snapshot(2).early] == ["app"]
    assert "so far" not in stream.getvalue()
