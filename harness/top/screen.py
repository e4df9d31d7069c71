"""A terminal borrowed for a live view, and given back as it was, whatever ends the view."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import sys
import termios
import time
import tty
from types import FrameType, TracebackType
from typing import Self

_ENTER = "\x1b[?1049h\x1b[?25l"  # alternate screen, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^\[O])?")  # what arrow and function keys send
_ENDING = (signal.SIGTERM, signal.SIGHUP)
QUIT = "quit"
RESIZED = "resized"


class Screen:
    """Draws whole frames on stdout; reads single keys from stdin where that is a terminal.

    TERM and HUP become KeyboardInterrupt, as INT is, so that leaving goes the same way. Ctrl-Z gives the terminal back first.
    Main thread only.
    """

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._saved: list[int | list[bytes | int]] | None = None
        self._handlers: dict[signal.Signals, object] = {}
        self._wake_read, self._wake_write = -1, -1
        self._suspended = False

    def __enter__(self) -> Self:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _ENDING:
            self._handle(number, _interrupt)
        self._handle(signal.SIGWINCH, _note)
        self._handle(signal.SIGTSTP, self._suspend_soon)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned
        os.close(self._wake_read)
        os.close(self._wake_write)

    def size(self) -> tuple[int, int]:
        """Columns and lines, at least one of each."""
        columns, lines = shutil.get_terminal_size()
        return max(columns, 1), max(lines, 1)

    def draw(self, text: str) -> None:
        """Replace everything by this text, as far as there are lines for it; in one write, so that nothing flickers."""
        lines = text.removesuffix("\n").split("\n")[: self.size()[1]]
        # Each line is erased before it is written: after a full one the cursor still stands on its last character.
        rest = "\r\n\x1b[J" if len(lines) < self.size()[1] else ""
        _write("\x1b[H" + "\r\n".join("\x1b[K" + line for line in lines) + rest)

    def wait(self, until_ns: int) -> str | None:
        """The next key, `RESIZED`, `QUIT` (also at the end of stdin), or None at that time of CLOCK_MONOTONIC."""
        while True:
            watched = [self._wake_read, *([] if self._keys is None else [self._keys])]
            left_s = max(0.0, (until_ns - time.monotonic_ns()) / 1e9)
            ready, _, _ = select.select(watched, [], [], left_s)
            if self._wake_read in ready:
                os.read(self._wake_read, 512)
                if self._suspended:
                    self._suspend()
                return RESIZED
            if not ready:
                return None
            key = self._key()
            if key is not None:
                return key

    def _key(self) -> str | None:
        assert self._keys is not None
        data = os.read(self._keys, 256)
        if not data:
            return QUIT
        typed = _SEQUENCE.sub(b"", data).decode("ascii", "ignore")
        if "q" in typed or "Q" in typed:
            return QUIT
        return typed[-1:] or None

    def _take(self) -> None:
        if self._keys is not None:
            self._saved = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys, termios.TCSADRAIN)
        _write(_ENTER)

    def _give_back(self) -> None:
        try:
            _write(_LEAVE)
        except OSError:  # the terminal is gone: nothing to give back
            return
        finally:
            if self._keys is not None and self._saved is not None:
                try:
                    termios.tcsetattr(self._keys, termios.TCSADRAIN, self._saved)
                except termios.error:
                    self._saved = None

    def _handle(self, number: signal.Signals, handler: object) -> None:
        self._handlers[number] = signal.signal(number, handler)  # type: ignore[arg-type]  # a plain function each

    def _suspend_soon(self, number: int, frame: FrameType | None) -> None:
        self._suspended = True

    def _suspend(self) -> None:
        self._suspended = False
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # stops here until the shell continues us
        signal.signal(signal.SIGTSTP, self._suspend_soon)
        self._take()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    """Only here so that the signal reaches the wake-up pipe."""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
