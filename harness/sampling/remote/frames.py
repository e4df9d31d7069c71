"""What goes over the line between home and a keeper, both ways: one frame a line.

``H <last>``
    First on every connection: the number of the last message that was received. All after it are sent again.
``M <number> <program> <line>``
    A message: a line to or from a program, or (program ``-``) an order to the keeper or news from it. Numbers go up by one.
``A <last>``
    Everything up to this number is in safe hands and may be forgotten.
``P <token>`` and ``Q <token> <monotonic ns> <wall ns>``
    Home asks for the time there; this is also how the keeper knows that home lives.
``X``
    The keeper has ended everything and removed its files; nothing follows.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, NamedTuple

KEEPER = b"-"
LONGEST_BYTES = (1 << 20) + 256  # a line of a program, with what stands before it
_PROGRAM = re.compile(rb"""[^\x00-\x20"\\\x7f]{1,200}\Z""")  # stands in JSON as it is
_MOST = (1 << 63) - 1  # of a count, and of nanoseconds
_TOO_LONG = "a frame of more than {} bytes"


class FrameError(Exception):
    """The other end said something that is no frame: not our program, or a defect of ours."""


class Hello(NamedTuple):
    """``last``: the number of the last message received."""

    last: int


class Message(NamedTuple):
    """``line`` has no line break."""

    number: int
    program: bytes
    line: bytes


class Ack(NamedTuple):
    """Up to here."""

    last: int


class Ping(NamedTuple):
    """What time is it?"""

    token: int


class Pong(NamedTuple):
    """It is this time."""

    token: int
    monotonic_ns: int
    wall_ns: int


class Over(NamedTuple):
    """Nothing follows."""


def message(number: int, program: bytes, line: bytes) -> bytes:
    """The frame of a message. ValueError when the line is too long or is more than one."""
    frame = b"M %d %s %s\n" % (number, program, line)
    if len(frame) > LONGEST_BYTES or frame.count(b"\n") != 1:
        raise ValueError(_TOO_LONG.format(LONGEST_BYTES))
    return frame


def hello(last: int) -> bytes:
    """The frame."""
    return b"H %d\n" % last


def ack(last: int) -> bytes:
    """The frame."""
    return b"A %d\n" % last


def ping(token: int) -> bytes:
    """The frame."""
    return b"P %d\n" % token


def pong(token: int, monotonic_ns: int, wall_ns: int) -> bytes:
    """The frame."""
    return b"Q %d %d %d\n" % (token, monotonic_ns, wall_ns)


OVER = b"X\n"


def parse(line: bytes) -> Any:
    """One frame without its line break: `Hello`, `Message`, `Ack`, `Ping`, `Pong` or `Over`. Raises FrameError."""
    kind, _, rest = line.partition(b" ")
    try:
        if kind == b"M":
            number, program, said = rest.split(b" ", 2)
            if not _PROGRAM.match(program):
                raise ValueError(program)
            return Message(_number(number), program, said)
        if kind == b"Q":
            token, monotonic_ns, wall_ns = rest.split(b" ")
            return Pong(_number(token), _number(monotonic_ns), _number(wall_ns))
        if kind == b"X":
            return Over()
        simple = {b"H": Hello, b"A": Ack, b"P": Ping}[kind]
        return simple(_number(rest))
    except (ValueError, KeyError) as error:
        raise FrameError("not a frame: {!r}".format(line[:80])) from error


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ValueError(text)
    number = int(text)
    if number > _MOST:
        raise ValueError(text)
    return number


class Splitter:
    """Frames out of bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        """The frames that are complete now. Raises FrameError."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_BYTES:
            raise FrameError(_TOO_LONG.format(LONGEST_BYTES))
        for line in lines:
            yield parse(line)
