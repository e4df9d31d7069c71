"""A terminal to run commands in: a real pty, and just enough of a screen to see what is on it afterwards."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import termios
import time
from collections.abc import Callable

_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    """What a terminal shows: carriage return, line feed, cursor up, erase to the end of line or screen, colours ignored.

    Anything else with an escape in it is an error: the driver must not use more than that.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.lines: list[list[str]] = [[]]  # with what has scrolled off the top
        self.at = (0, 0)  # row in ``lines``, column

    def feed(self, text: str) -> None:
        while text:
            match = _ESCAPE.match(text)
            if match is not None:
                self._escape(match[1], match[2])
                text = text[match.end() :]
                continue
            char, text = text[0], text[1:]
            row, column = self.at
            if char == "\r":
                self.at = (row, 0)
            elif char == "\n":
                self._go(row + 1, column)
            else:
                assert char.isprintable(), f"{char!r} reached the terminal"
                if column >= self.columns:
                    self._go(row + 1, 0)
                    row, column = self.at
                self._put(char)
                self.at = (row, column + 1)

    def _go(self, row: int, column: int) -> None:
        while len(self.lines) <= row:
            self.lines.append([])
        self.at = (row, column)

    def _put(self, char: str) -> None:
        row, column = self.at
        line = self.lines[row]
        line += " " * (column + 1 - len(line))
        line[column] = char

    def _escape(self, arguments: str, final: str) -> None:
        row, column = self.at
        if final == "A":
            top = max(0, len(self.lines) - self.rows)
            self.at = (max(top, row - int(arguments or 1)), column)
        elif final == "K" and not arguments:
            del self.lines[row][column:]
        elif final == "J" and not arguments:
            del self.lines[row][column:]
            del self.lines[row + 1 :]
        else:
            assert final == "m", f"escape {arguments}{final} is not one a driver needs"

    @property
    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines)


class Terminal:
    """The master's end of a pty. ``slave`` goes to the child as its stderr (and stdin)."""

    def __init__(self, columns: int = 100, rows: int = 30) -> None:
        self.master, self.slave = os.openpty()
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._rest = b""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.columns, self.screen.rows = columns, rows

    def modes(self) -> list[object]:
        """The line discipline's settings, as a shell would find them."""
        return termios.tcgetattr(self.slave)

    def read_until(self, condition: Callable[[Screen], object], what: str, seconds: float = 60.0) -> None:
        """Feed the screen until ``condition`` holds; AssertionError naming ``what``."""
        deadline = time.monotonic() + seconds
        while not condition(self.screen):
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}; on the screen:\n{self.screen.text}"
            self.pump(0.1)

    def pump(self, seconds: float) -> bool:
        """Read what is there; False when nothing came within ``seconds``."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        data = self._rest + os.read(self.master, 1 << 16)
        # characters and escapes may be cut in two by the read
        end = max(data.rfind(b"\x1b"), 0) if b"\x1b" in data[-8:] else len(data)
        while end < len(data) and _ESCAPE.match(data[end:].decode(errors="ignore")):
            end = len(data)
        try:
            text = data[:end].decode()
        except UnicodeDecodeError as error:
            end = error.start
            text = data[:end].decode()
        self._rest = data[end:]
        self.raw += text
        self.screen.feed(text)
        return True

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)
