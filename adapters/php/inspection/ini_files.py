"""php.ini files, line by line. Pure.

Grammar: Zend/zend_ini_scanner.l. ``;`` begins a comment, double quotes may span lines, ``${NAME}`` is a setting or an
environment variable and ``${NAME:-text}`` has a default, single quotes take everything literally. Pieces that follow each other
are one value, and a bare ``On`` or ``None`` is ``1`` or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from adapters.php.inspection.model import Directive, Origin, Place

_SECTION = re.compile(r"\s*\[(?P<name>[^\]\n]*)\]")
_LINE = re.compile(
    r"\s*(?P<name>[^\s=;\[\]\"'][^=;\[\]\"'\n]{0,127}?)\s*(?:\[[^\]\n]*\]\s*)?=\s*(?P<value>.*)\Z", re.DOTALL
)
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.]{1,128})(?::-([^}]*))?\}")
_PIECE = re.compile(
    r""""(?P<double>(?:[^"\\]|\\.|\\\Z)*)(?:"|\Z)|'(?P<single>[^']*)(?:'|\Z)|(?P<bare>[^"';]+)|(?P<end>;)""", re.DOTALL
)
_QUOTE = re.compile(r'(?<!\\)"')
_WORDS = {"on": "1", "yes": "1", "true": "1", "off": "", "no": "", "none": "", "false": "", "null": ""}
_MOST_LINES = 20_000
_LONGEST_VALUE = 4096


def parse_ini(
    text: str, file: str, environment: Mapping[str, str] | None = None, origin: Origin = Origin.INI
) -> tuple[Directive, ...]:
    """The settings of one file in order, each with the line it begins in. Values are cut after 4096 characters."""
    found = []
    section = ""
    for number, line in _logical_lines(text):
        head = _SECTION.match(line)
        if head is not None:
            section = head["name"].strip().upper()
        match = _LINE.match(line, 0 if head is None else head.end())
        if match is None:
            continue
        inside = origin
        if origin is Origin.INI and section.startswith(("HOST=", "PATH=")):
            inside = Origin.SECTION
        value = ini_text(match["value"], environment or {}, words=True)[:_LONGEST_VALUE]
        found.append(Directive(match["name"], value, Place(file, number), inside))
    return tuple(found)


def ini_text(raw: str, environment: Mapping[str, str], *, words: bool = False) -> str:
    """A value as PHP reads it: without quotes and comments, variables put in. With ``words`` a bare ``Off`` is what PHP makes of
    it, and a quoted one stays."""

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda m: environment.get(m[1], m[2] or ""), text)

    pieces: list[str] = []
    bare = last_bare = True
    for match in _PIECE.finditer(raw.strip()):
        if match.lastgroup == "end":
            break
        if match.lastgroup == "bare":
            if match["bare"].strip():
                pieces.append(filled(match["bare"]))
                last_bare = True
            continue
        bare = last_bare = False
        single = match.lastgroup == "single"
        pieces.append(match["single"] if single else filled(re.sub(r"\\([\"\\])", r"\1", match["double"])))
    value = "".join(pieces)
    if not bare:
        return value.rstrip() if last_bare else value
    value = value.strip()
    return _WORDS.get(value.lower(), value) if words else value


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text); a double quote that is open at its end takes the next lines in."""
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))[:_MOST_LINES]
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if line.lstrip().startswith((";", "#")):
            continue
        _, equals, value = line.partition("=")
        if equals and value.lstrip().startswith('"'):
            held, quotes = [line], len(_QUOTE.findall(value))
            while quotes < 2 and number < len(lines):
                held.append(lines[number])
                quotes += len(_QUOTE.findall(lines[number]))
                number += 1
            line = "\n".join(held)
        yield start + 1, line
