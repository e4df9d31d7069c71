"""YAML text to plain data that remembers on which line everything stood.

The YAML accepted here is the part people use: mappings, lists, scalars, comments, block text. Anchors, aliases, tags and
several documents are refused, so a small file stays small in memory. Scalars follow YAML 1.2 (``no`` is text, not false),
as editors read them, and a number that would not be written back the same (``007``) is text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.errors import ScenarioError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
_INT = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None,
              "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}  # fmt: skip
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Loc = tuple[str | int, ...]
Data = None | bool | int | float | str | list["Data"] | dict[str, "Data"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake and the 1-based line it is on."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A scenario file as read: its path as given, its text, its data, and the line of every key and list item."""

    path: Path
    text: str
    data: Data
    lines: Mapping[Loc, int]
    problems: tuple[Problem, ...] = field(default=())

    def line(self, loc: Loc) -> int:
        """Line of the deepest part of ``loc`` that exists; parts that do not exist on the way are passed over.

        A validator's location also names things which are not in the file: a missing key, the kind of a union, the
        long form of something written short.
        """
        found: Loc = ()
        for part in loc:
            if (*found, part) in self.lines:
                found = (*found, part)
        return self.lines.get(found, 1)

    def place(self, line: int) -> str:
        """``file:line``."""
        return f"{self.path}:{line}"


def read_source(path: Path) -> Source:
    """Read and parse a file. Raises ScenarioError when it is unreadable or not YAML at all.

    Mistakes after which the rest still makes sense (a key given twice) are in ``problems``.
    """
    return parse_source(_read_text(path), path)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ScenarioError((f"{path}: cannot be read: {exc.strerror}",)) from None
    except ValueError:
        raise ScenarioError((f"{str(path)!r} is not a file name",)) from None
    if len(raw) > MAX_BYTES:
        raise ScenarioError((f"{path}: is larger than 1 MiB, so it is hardly a scenario",))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ScenarioError((f"{path}:{line}: is not UTF-8 text: save the file as UTF-8",)) from None


def parse_source(text: str, path: Path) -> Source:
    """Parse YAML text; ``path`` is for messages. Raises ScenarioError like `read_source`."""
    try:
        builder = _Builder(_events(text))
        data = builder.document()
    except _SyntaxError as exc:
        raise ScenarioError((f"{path}:{exc.line}: {exc.text}",)) from None
    return Source(path, text, data, builder.lines, tuple(builder.problems))


class _SyntaxError(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        what = " ".join(part for part in (exc.context, exc.problem) if part)
        if (
            "maximum nesting depth" in what
        ):  # PyYAML has a limit of its own since 6.0.4, and meets it before we see an event
            what = f"nested deeper than {MAX_DEPTH} levels"
        raise _SyntaxError(1 if mark is None else mark.line + 1, f"not valid YAML: {what}{_advice(what)}") from None
    except yaml.reader.ReaderError as exc:
        raise _SyntaxError(_line_of_odd_character(text), f"not valid YAML: {exc.reason}") from None
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        raise _SyntaxError(_line_of_odd_character(text), f"not valid YAML: {exc}") from None


def _advice(what: str) -> str:
    if "mapping values are not allowed" in what:
        return " (put text that contains ': ' in quotes)"
    if "cannot start any token" in what:
        return " (indent with spaces, not tabs; put text that starts with %, @ or ` in quotes)"
    return ""


def _line_of_odd_character(text: str) -> int:
    odd = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    return 1 if odd is None else text.count("\n", 0, odd.start()) + 1


class _Builder:
    """Turns one document's events into data, noting lines and the mistakes that need not end the reading."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self.lines: dict[Loc, int] = {(): 1}
        self.problems: list[Problem] = []

    def document(self) -> Data:
        """The only document's data; None for an empty file."""
        data: Data = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _SyntaxError(_line(event), "a second document starts here: one scenario is one file")
            elif isinstance(event, yaml.NodeEvent):
                self.lines[()] = _line(event)
                data = self._node(event, ())
        return data

    def _node(self, event: yaml.Event, loc: Loc) -> Data:
        self._refuse_cleverness(event)
        if len(loc) > MAX_DEPTH:
            raise _SyntaxError(_line(event), f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        return self._mapping(loc) if isinstance(event, yaml.MappingStartEvent) else self._list(loc)

    def _list(self, loc: Loc) -> list[Data]:
        items: list[Data] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item_loc = (*loc, len(items))
            self.lines[item_loc] = _line(event)
            items.append(self._node(event, item_loc))
        return items

    def _mapping(self, loc: Loc) -> dict[str, Data]:
        data: dict[str, Data] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._refuse_cleverness(event)
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _SyntaxError(line, "a key must be plain text (put ${NAME} in quotes)")
            key: str = event.value
            if key in data:
                self.problems.append(Problem(line, f"{key!r} is given twice, first on line {self.lines[(*loc, key)]}"))
            else:
                self.lines[(*loc, key)] = line
            data[key] = self._node(next(self._events), (*loc, key))
        return data

    @staticmethod
    def _refuse_cleverness(event: yaml.Event) -> None:
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise _SyntaxError(
                _line(event),
                f"{mark}{event.anchor}: anchors and aliases are not supported: write the value out, or put it in quotes",
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise _SyntaxError(_line(event), f"{tag}: tags are not supported: put text that starts with ! in quotes")


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _scalar(event: yaml.ScalarEvent) -> Data:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text) and not text.lstrip("+-").isdigit() and math.isfinite(number := float(text)):
        return number
    return text
