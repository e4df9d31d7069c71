"""php.ini files, line by line. Pure.

Grammar: Zend/zend_ini_scanner.l. ``;`` begins a comment, double quotes may span lines, ``${NAME}`` is a setting or an
environment variable and ``${NAME:-text}`` has a default, single quotes take everything literally.
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
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        inside = origin
        if origin is Origin.INI and section.startswith(("HOST=", "PATH=")):
            inside = Origin.SECTION
        value = ini_text(match["value"], environment or {})[:_LONGEST_VALUE]
        found.append(Directive(match["name"], value, Place(file, number), inside))
    return tuple(found)


def ini_text(raw: str, environment: Mapping[str, str]) -> str:
    """A value as PHP reads it: without quotes and comments, variables put in."""
    raw = raw.strip()
    if raw.startswith("'"):
        return raw[1:].partition("'")[0]
    if raw.startswith('"'):
        end = re.search(r'(?<!\\)"', raw[1:])
        raw = raw[1:] if end is None else raw[1 : 1 + end.start()]
        raw = raw.replace('\\"', '"').replace("\\\\", "\\")
    else:
        raw = raw.partition(";")[0].rstrip()
    return _VARIABLE.sub(lambda m: environment.get(m[1], m[2] or ""), raw)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text); a double quote that is open at its end takes the next lines in."""
    lines = text.split("\n")[:_MOST_LINES]
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if line.lstrip().startswith((";", "#")):
            continue
        name, equals, value = line.partition("=")
        if equals and value.lstrip().startswith('"'):
            while len(re.findall(r'(?<!\\)"', line[len(name) :])) < 2 and number < len(lines):
                line += "\n" + lines[number]
                number += 1
        yield start + 1, line
