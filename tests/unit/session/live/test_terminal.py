"""The driver on a screen: what is seen after drawing, resizing, being stopped, and leaving."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen import Screen, Terminal

from harness.session.live.terminal import Block, size_of, style_of
from harness.session.live.view import Style


def pair(columns: int = 20, rows: int = 10) -> tuple[Screen, Block]:
    """A screen whose lines end as a terminal's driver would end them, and a block on it."""
    screen = Screen(columns, rows)
    write: Callable[[str], None] = lambda text: screen.feed(text.replace("\n", "\r\n"))  # noqa: E731  # the tty's ONLCR
    return screen, Block(write, lambda: os.terminal_size((screen.columns, screen.rows)))


def test_a_block_is_replaced_by_a_shorter_and_a_longer_one() -> None:
    screen, block = pair()
    screen.feed("$ harness\r\n")
    for lines in (["one", "two", "three"], ["short"], ["a", "b", "c", "d"]):
        block.draw(lines)
        assert screen.text == "\n".join(["$ harness", *lines])
    block.clear()
    assert screen.text == "$ harness\n"
    block.draw(["last"])
    block.leave()
    screen.feed("$ ")
    assert screen.text == "$ harness\nlast\n$"


def test_nothing_is_written_when_nothing_has_changed() -> None:
    written: list[str] = []
    block = Block(written.append, lambda: os.terminal_size((80, 24)))
    block.draw(["same"])
    before = list(written)
    block.draw(["same"])
    assert written == before


def test_at_the_bottom_of_the_screen_it_stays_in_place() -> None:
    screen, block = pair(rows=5)
    screen.feed("\r\n" * 4)
    room = block.room.lines
    for frame in range(3):
        block.draw([f"{frame}-{line}" for line in range(room)])
    assert screen.text.split("\n")[-room:] == [f"2-{line}" for line in range(room)]
    assert "0-0" not in screen.text


def test_after_a_stop_the_shell_has_written_and_a_new_block_begins() -> None:
    screen, block = pair()
    block.draw(["before"])
    screen.feed("\r\n[1]+ Stopped\r\n$ fg\r\n")
    block.forget()
    block.draw(["after", "more"])
    assert screen.text == "before\n[1]+ Stopped\n$ fg\nafter\nmore"


def test_a_terminal_made_narrower_has_wrapped_the_block() -> None:
    """What was 15 columns wide takes two rows of 10, as terminals that reflow show it."""
    screen, block = pair(columns=20)
    block.draw(["x" * 15, "y" * 15])
    wrapped = Screen(10, 10)
    wrapped.feed("x" * 15 + "\r\n" + "y" * 15)
    screen.columns, screen.lines, screen.at = 10, wrapped.lines, wrapped.at
    block.draw(["new"])
    assert screen.text == "new"


lines = st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=19), min_size=1, max_size=9)


@given(frames=st.lists(lines, min_size=1, max_size=6))
def test_the_last_frame_is_what_is_seen(frames: list[list[str]]) -> None:
    screen, block = pair()
    for frame in frames:
        block.draw(frame)
    assert screen.text == "\n".join(frames[-1])


# --- what a terminal can show ----------------------------------------------------------------------------------------


@pytest.fixture
def tty() -> Iterator[io.TextIOWrapper]:
    terminal = Terminal(90, 33)
    stream = os.fdopen(os.dup(terminal.slave), "w", encoding="utf-8")
    yield stream
    stream.close()
    terminal.close()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8"}, Style(unicode=True, colour=True)),
        ({"TERM": "xterm", "LANG": "C.utf8"}, Style(unicode=True, colour=True)),
        ({"TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "C"}, Style(unicode=False, colour=True)),
        ({"TERM": "xterm"}, Style(unicode=False, colour=True)),
        ({"TERM": "xterm", "LANG": "C.UTF-8", "NO_COLOR": "1"}, Style(unicode=True, colour=False)),
        ({"TERM": "xterm", "LANG": "C.UTF-8", "NO_COLOR": ""}, Style(unicode=True, colour=True)),
        ({"TERM": "dumb", "LANG": "C.UTF-8"}, None),
        ({"LANG": "C.UTF-8"}, None),
    ],
)
def test_style_of_a_terminal(tty: io.TextIOWrapper, environ: dict[str, str], expected: Style | None) -> None:
    assert style_of(tty, environ) == expected
    assert size_of(tty) == (90, 33)


def test_what_is_no_terminal_has_no_style() -> None:
    with open(os.devnull, "w", encoding="utf-8") as stream:
        assert style_of(stream, {"TERM": "xterm", "LANG": "C.UTF-8"}) is None
        assert size_of(stream) == (80, 24)


def test_a_terminal_of_another_encoding_gets_ascii() -> None:
    terminal = Terminal()
    try:
        with os.fdopen(os.dup(terminal.slave), "w", encoding="latin-1") as stream:
            assert style_of(stream, {"TERM": "xterm", "LANG": "C.UTF-8"}) == Style(unicode=False, colour=True)
    finally:
        terminal.close()
