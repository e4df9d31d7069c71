"""Draw lines in place at the bottom of a terminal, and know what a terminal can show.

No mode of the terminal is ever changed (no alternate screen, no hidden cursor, no raw input), so that there is nothing to
restore: after any end, ``kill -9`` included, it is as it was, with the last frame on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from harness.report.terminal import width
from harness.session.live.view import Style

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_UP = "\x1b[{}A"
_ERASE_LINE_RIGHT = "\x1b[K"
_ERASE_BELOW = "\x1b[J"

Size = Callable[[], os.terminal_size]


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style | None:
    """What the stream's terminal can show; None when it is none, or one that cannot move its cursor.

    Unicode needs a UTF-8 stream and a UTF-8 locale; colour is left out with NO_COLOR (https://no-color.org).
    """
    if not stream.isatty() or environ.get("TERM", "dumb") == "dumb":
        return None
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    utf8 = all("utf8" in name.lower().replace("-", "") for name in (locale, stream.encoding or ""))
    return Style(unicode=utf8, colour=not environ.get("NO_COLOR"))


def size_of(stream: TextIO) -> os.terminal_size:
    """Columns and rows now; 80 x 24 where it cannot be told."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return os.terminal_size((80, 24))
    return found if found.columns > 0 and found.lines > 0 else os.terminal_size((80, 24))


class Block:
    """A block of lines that is rewritten in place. ``write`` gets text with escapes; the cursor rests behind the last line."""

    def __init__(self, write: Callable[[str], None], size: Size) -> None:
        self._write = write
        self._size = size
        self._drawn: list[str] = []
        self._drawn_size: os.terminal_size | None = None

    @property
    def room(self) -> os.terminal_size:
        """What fits: a column less than there is, so that no line wraps, and a row less, so that nothing scrolls."""
        size = self._size()
        return os.terminal_size((max(1, size.columns - 1), max(1, size.lines - 1)))

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines instead of those drawn before. They must fit into ``room``."""
        size = self._size()
        if list(lines) == self._drawn and size == self._drawn_size:
            return
        body = "\n".join(line + _ERASE_LINE_RIGHT for line in lines)
        self._write(self._home() + body + _ERASE_BELOW)
        self._drawn, self._drawn_size = list(lines), size

    def clear(self) -> None:
        """Take the block away; the cursor is where it began."""
        if self._drawn:
            self._write(self._home() + _ERASE_BELOW)
            self._drawn = []

    def leave(self) -> None:
        """Let the block stand, and go on below it."""
        if self._drawn:
            self._write("\n")
            self._drawn = []

    def forget(self) -> None:
        """Somebody else wrote to the terminal (a shell, while we were stopped): the next block starts where the cursor is."""
        self._drawn = []

    def _home(self) -> str:
        """To the start of the block. A terminal made narrower meanwhile has wrapped its lines."""
        if not self._drawn:
            return ""
        columns = max(1, self._size().columns)
        rows = sum(max(1, -(-width(_SGR.sub("", line)) // columns)) for line in self._drawn)
        return "\r" + (_UP.format(rows - 1) if rows > 1 else "")
