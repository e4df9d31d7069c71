"""The text of callgrind files, line by line, into costs and calls. Pure; format: https://valgrind.org/docs/manual/cl-format.html.

::

    file     = 1*( *header *record )                         several parts may follow each other
    header   = "events: " names | "positions: " ["instr "] "line" | "creator: " text | name ": " text
    record   = ( "ob=" | "fl=" | "fi=" | "fe=" | "fn=" ) ref         where the costs that follow belong to
             | ( "cob=" | "cfl=" | "cfi=" | "cfn=" ) ref             whom the next call goes to
             | "calls=" count *( " " position )                      the cost line after it is that call, callees included
             | ( "jfi=" | "jfn=" ) ref | ( "jump=" | "jcnd=" ) text  a jump; the line after it has no costs
             | *( position " " ) *( cost " " )
    ref      = "(" id ")" [ " " name ] | name                ids of objects, files and functions are separate
    position = number | "0x" hex | "+" number | "-" number | "*"     relative to the cost line before
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from adapters.formats.unpacking import TooLargeError

_LINE_CAP = 1 << 20
_LINES_CAP = 1 << 31
_NAME_CAP = 1024
_NAMES_CAP = 200_000
_EVENTS_CAP = 32
_HEADERS_CAP = 100_000
_JUNK_CAP = 100_000
_REF = re.compile(rb"\((\d{1,9})\)(?:\s+(.*))?\Z", re.DOTALL)
_HEADER = re.compile(rb"([A-Za-z][A-Za-z0-9_ -]{0,40}):\s*(.*)\Z", re.DOTALL)


@dataclass(slots=True)
class Call:
    """A call as one record of the file has it; ``costs`` are shorter than the events where the rest is 0."""

    callee: int
    calls: int
    line: int
    costs: tuple[int, ...]


Item = tuple[int, tuple[int, ...] | Call]
"""A function's number, and costs of its own or a call of it."""


@dataclass(slots=True)
class Function:
    """One function as the file names it; ``line``: of its definition, as far as calls or costs tell."""

    object: bytes
    file: bytes
    name: bytes
    line: int = 0
    lowest: int = 0


@dataclass(slots=True)
class Header:
    """What the file says about itself. ``totals``: of each part, ``totals:`` where it is, else ``summary:``."""

    creator: bytes = b""
    command: bytes = b""
    events: tuple[str, ...] = ()
    titles: dict[str, str] = field(default_factory=dict)
    totals: list[tuple[int, ...]] = field(default_factory=list)
    parts: int = 0
    malformed: int = 0
    cut: bool = False


class TextReader:
    """Turns lines into items. ``functions`` and ``header`` fill while reading."""

    def __init__(self) -> None:
        self.functions: list[Function] = []
        self.header = Header()
        self._numbers: dict[tuple[bytes, bytes, bytes], int] = {}
        self._names: dict[str, dict[bytes, bytes]] = {"ob": {}, "fl": {}, "fn": {}}
        self._now: dict[str, bytes] = {"ob": b"", "fl": b"", "fi": b""}
        self._called: dict[str, bytes] = {}
        self._function = -1
        self._columns = 1
        self._instr = False
        self._line = 0
        self._address = 0
        self._pending: tuple[int, int] | None = None  # callee, calls: the next cost line is of this call
        self._tail = b""
        self._headers = 0
        self._totals_said = False

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """The next bytes of the file, in pieces of any size. Raises ValueError beyond a limit."""
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        if len(self._tail) > _LINE_CAP:
            raise TooLargeError(f"a line is longer than {_LINE_CAP >> 20} MiB")
        for line in lines:
            item = self._read(line)
            if item is not None:
                yield item

    def end(self) -> None:
        """The file is over. What has no line break at its end may be half a number."""
        if self._tail.strip():
            self.header.cut = True
        if not self.header.events:
            raise ValueError("this is no callgrind profile: it names no events")
        if self._pending is not None:
            self.header.cut = True

    def _read(self, line: bytes) -> Item | None:
        line = line.rstrip(b"\r ")
        if not line or line.startswith(b"#"):
            return None
        try:
            if line[:1] in b"0123456789+-*":
                return self._cost(line)
            self._other(line)
        except TooLargeError:
            raise
        except (ValueError, KeyError):
            self.header.malformed += 1
            self._pending = None
            if self.header.malformed > _JUNK_CAP:
                raise TooLargeError(f"more than {_JUNK_CAP} lines of the file cannot be read") from None
        return None

    # --- costs ------------------------------------------------------------------------------------------------------

    def _cost(self, line: bytes) -> Item | None:
        fields = line.split()
        if self._instr:
            self._address = _position(fields[0], self._address)
        if self._columns > int(self._instr):
            if len(fields) < self._columns:
                raise ValueError("a cost line without all its positions")
            self._line = _position(fields[self._columns - 1], self._line)
        costs = tuple(map(_number, fields[self._columns :]))
        if len(costs) > len(self.header.events) or self._function < 0:
            raise ValueError("costs that belong to nothing")
        if self._pending is not None:
            callee, calls = self._pending
            self._pending = None
            return self._function, Call(callee, calls, self._line, costs)
        if costs and self._now["fi"] == self._now["fl"] and 0 < self._line < _LINES_CAP:
            function = self.functions[self._function]
            function.lowest = min(function.lowest or self._line, self._line)
        return (self._function, costs) if costs else None

    # --- where costs belong -----------------------------------------------------------------------------------------

    def _other(self, line: bytes) -> None:
        key, equals, value = line.partition(b"=")
        handler = _RECORDS.get(key) if equals else None
        if handler is not None:
            handler(self, value)
        elif (header := _HEADER.match(line)) is not None:
            self._add_header(header[1].strip().lower(), header[2].strip())
        elif not line.startswith((b"==", b"jump=", b"jcnd=")):
            raise ValueError("neither header nor record")

    def _name(self, kind: str, value: bytes) -> bytes:
        found = _REF.match(value)
        if found is None:
            return value.strip()[:_NAME_CAP]
        names = self._names[kind]
        if found[2] is None:
            return names[found[1]]
        if len(names) >= _NAMES_CAP:
            raise TooLargeError(f"more than {_NAMES_CAP} names")
        names[found[1]] = name = found[2].strip()[:_NAME_CAP]
        return name

    def _object(self, value: bytes) -> None:
        self._now["ob"] = self._name("ob", value)

    def _file(self, value: bytes) -> None:
        self._now["fl"] = self._now["fi"] = self._name("fl", value)

    def _inlined(self, value: bytes) -> None:
        self._now["fi"] = self._name("fl", value)

    def _enter(self, value: bytes) -> None:
        self._function = -1
        self._pending = None
        self._called.clear()
        self._now["fi"] = self._now["fl"]  # what was inlined is over
        self._function = self._number(self._now["ob"], self._now["fl"], self._name("fn", value))

    def _jump_file(self, value: bytes) -> None:
        self._name("fl", value)  # the name may be given here and nowhere else

    def _jump_function(self, value: bytes) -> None:
        self._name("fn", value)

    def _called_object(self, value: bytes) -> None:
        self._called["ob"] = self._name("ob", value)

    def _called_file(self, value: bytes) -> None:
        self._called["fl"] = self._name("fl", value)

    def _called_function(self, value: bytes) -> None:
        self._called["fn"] = self._name("fn", value)

    def _calls(self, value: bytes) -> None:
        called, self._called = self._called, {}
        self._pending = None
        count, *target = value.split()
        callee = self._number(called.get("ob", self._now["ob"]), called.get("fl", self._now["fi"]), called["fn"])
        if target and not self.functions[callee].line:
            line = _position(target[-1], self._line)
            self.functions[callee].line = line if 0 < line < _LINES_CAP else 0
        self._pending = (callee, _number(count))

    def _number(self, ob: bytes, file: bytes, name: bytes) -> int:
        key = (ob, file, name)
        number = self._numbers.get(key)
        if number is None:
            if len(self.functions) >= _NAMES_CAP:
                raise TooLargeError(f"more than {_NAMES_CAP} functions")
            number = self._numbers[key] = len(self.functions)
            self.functions.append(Function(ob, file, name))
        return number

    # --- headers ----------------------------------------------------------------------------------------------------

    def _add_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > _HEADERS_CAP:
            raise TooLargeError(f"more than {_HEADERS_CAP} headers")
        header = self.header
        if name == b"events":
            self._set_events(value.decode(errors="backslashreplace"))
        elif name == b"event":
            short, _, title = value.decode(errors="backslashreplace").partition(":")
            header.titles[short.partition("=")[0].strip()[:64]] = title.strip()[:200]
        elif name == b"positions":
            words = value.split()
            if not 0 < len(words) <= 2 or not {*words} <= {b"instr", b"line"}:
                raise TooLargeError(f"positions of an unknown kind: {value[:40]!r}")
            self._columns, self._instr = len(words), words[0] == b"instr"
        elif name == b"creator":
            header.creator = value[:_NAME_CAP]
        elif name == b"cmd":
            header.command = value[:_NAME_CAP]
        elif name in (b"totals", b"total", b"summary"):
            self._add_totals(value, again=name != b"summary")

    def _set_events(self, text: str) -> None:
        events = tuple(name[:64] for name in text.split())
        if not 0 < len(events) <= _EVENTS_CAP or len({*events}) < len(events):
            raise TooLargeError("the events are none, too many, or named twice")
        if self.header.events and events != self.header.events:
            raise TooLargeError("the file's parts count different events")
        self.header.events = events
        self.header.parts += 1
        self._totals_said = False
        self._function = -1

    def _add_totals(self, value: bytes, *, again: bool) -> None:
        """Of one part there may be a summary at its beginning and totals, the same again, at its end."""
        totals = tuple(map(_number, value.split()))
        if not totals or len(totals) > len(self.header.events):
            raise ValueError("totals of other events")
        if self._totals_said and again:
            self.header.totals[-1] = totals
        else:
            self.header.totals.append(totals)
        self._totals_said = True


_RECORDS: Mapping[bytes, Callable[[TextReader, bytes], None]] = {
    b"ob": TextReader._object,
    b"fl": TextReader._file,
    b"fi": TextReader._inlined,
    b"fe": TextReader._inlined,
    b"fn": TextReader._enter,
    b"cob": TextReader._called_object,
    b"cfl": TextReader._called_file,
    b"cfi": TextReader._called_file,
    b"cfn": TextReader._called_function,
    b"calls": TextReader._calls,
    b"jfi": TextReader._jump_file,
    b"jfn": TextReader._jump_function,
}


def _position(text: bytes, before: int) -> int:
    if text == b"*":
        return before
    if text[:1] in b"+-":
        step = _place(text[1:])
        return before + step if text[:1] == b"+" else before - step
    return _place(text)


def _place(text: bytes) -> int:
    return int(text, 16) if text[:2] == b"0x" and len(text) <= 18 else _number(text)


def _number(text: bytes) -> int:
    if len(text) > 20:
        raise ValueError("an impossible number")
    return int(text)
