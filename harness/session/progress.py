"""Progress on stderr: one line that is rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from harness.session.guardrails import Rail
    from harness.session.live.traffic import Traffic

_REWRITE_S = 0.25


class Progress:
    """What is going on, for people. Never writes to stdout, never fails the run."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, plain: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._live = not quiet and not plain and stream.isatty()
        self._started = time.monotonic()
        self._shown = 0.0
        self._width = 0

    def step(self, text: str) -> None:
        """A lasting line: a phase began, a round ended, something happened."""
        if not self._quiet:
            self._clear()
            self._write(f"[{time.monotonic() - self._started:6.1f} s] {_printable(text)}\n")

    def log(self, text: str) -> None:
        """A lasting line for where there is no terminal; on one, ``live`` shows the same."""
        if not self._live:
            self.step(text)

    def live(self, text: str, levels: str = "") -> None:
        """A passing state, shown on terminals only, at most a few times a second.

        ``levels``: memory sizes, for displays that do not show them anyway.
        """
        now = time.monotonic()
        if not self._live or now - self._shown < _REWRITE_S:
            return
        self._shown = now
        line = f"[{now - self._started:6.1f} s] {_printable(text + levels)}"[:110]
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def wants_traffic(self) -> bool:
        """Whether ``traffic`` would show anything now; gathering it costs a little."""
        return False

    def traffic(self, traffic: Traffic | None, rails: Sequence[Rail]) -> None:
        """What the load generator does and how near the guard rails are, for displays that draw it."""

    def round_ended(self, sizes: Mapping[str, int]) -> None:
        """The floor of a measured round: bytes by pool."""

    def done(self) -> None:
        """Leave a clean line behind."""
        self._clear()

    def _clear(self) -> None:
        if self._live and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a closed terminal must not end a run
            self._quiet = True
            self._live = False


def _printable(text: str) -> str:
    """Targets have a say in these texts: no control characters reach the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
