"""Texts with observed numbers in them: ``{glibc_held_bytes} of {worker_pss_bytes * workers:bytes} lie free``.

In braces stands a name or a computation (`harness.diagnose.prescribe.language`), after a colon how to write it; a name says that
itself by its end (`_bytes`, `_share`, `_s`). ``{{`` and ``}}`` are braces. A text in which something is unknown cannot be told.

Names come from targets and are hostile: what goes into a command or into YAML is a number, or is quoted for it.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.diagnose.prescribe.language import Expression, Kind, LanguageError, Value, parse
from harness.units import format_bytes, format_duration

MAX_LENGTH = 4000
_TEXT_CAP = 200
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MIB = 1024 * 1024

# How to write it -> from a number. Whole units are rounded up: they become settings, which must be large enough.
_NUMBERS: Mapping[str, Callable[[float], str]] = {
    "bytes": format_bytes,
    "mib": lambda v: str(math.ceil(v / _MIB)),
    "kib": lambda v: str(math.ceil(v / 1024)),
    "percent": lambda v: f"{100 * v:.0f} %" if abs(v) >= 0.1 else f"{100 * v:.2g} %",
    "count": lambda v: f"{v:.0f}" if abs(v) >= 10 or v == int(v) else f"{v:.2g}",
    "floor": lambda v: str(math.floor(v)),
    "ceil": lambda v: str(math.ceil(v)),
    "seconds": lambda v: format_duration(v * 1e9),
    "nanoseconds": format_duration,
}
_TEXTS: Mapping[str, Callable[[str], str]] = {"text": str, "sh": shlex.quote, "yaml": json.dumps}
_ENDINGS = (("_bytes", "bytes"), ("_share", "percent"), ("_ns", "nanoseconds"), ("_s", "seconds"))
_BYTES_PER = re.compile(r"_bytes_per_[a-z]+\Z")
# Text that is many lines of our own making, a table.
TABLES = frozenset({"recycling_table"})


@dataclass(frozen=True, slots=True)
class Template:
    """Text between placeholders, and the placeholders with the way each is written."""

    text: str
    pieces: tuple[str | tuple[Expression, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names it asks for."""
        return tuple(dict.fromkeys(n for p in self.pieces if not isinstance(p, str) for n in p[0].names))

    def render(self, known: Mapping[str, Value]) -> str | None:
        """None where something in it is unknown."""
        parts: list[str] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            shown = _shown(piece[0].value(known), piece[1], is_table=piece[0].text.strip() in TABLES)
            if shown is None:
                return None
            parts.append(shown)
        return "".join(parts)


def parse_template(text: str, kind_of: Callable[[str], Kind], *, quoted: bool = False) -> Template:
    """Raises LanguageError. ``quoted``: it is a command or YAML, so texts in it need ``:sh`` or ``:yaml``."""
    if len(text) > MAX_LENGTH:
        raise LanguageError(f"is longer than {MAX_LENGTH} characters")
    pieces: list[str | tuple[Expression, str]] = []
    at = 0
    for match in _PIECE.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        if match[0] in ("{{", "}}"):
            pieces.append(match[0][0])
        elif match[1] is None:
            raise LanguageError(f"{match[0]!r} stands alone: write {match[0] * 2!r} for the character itself")
        else:
            pieces.append(_placeholder(match[1], kind_of, quoted=quoted))
    pieces.append(text[at:])
    return Template(text, tuple(p for p in pieces if p != ""))


def _placeholder(inside: str, kind_of: Callable[[str], Kind], *, quoted: bool) -> tuple[Expression, str]:
    computation, colon, how = inside.partition(":")
    expression = parse(computation, kind_of)
    how = how.strip()
    if colon and how not in _NUMBERS and how not in _TEXTS:
        raise LanguageError(f"{{{inside}}}: {how!r} is no way to write it: there are {', '.join([*_NUMBERS, *_TEXTS])}")
    if not how:
        how = _by_name(expression)
    if expression.kind is Kind.TRUTH:
        raise LanguageError(f"{{{inside}}} is yes or no, which is no text")
    if expression.kind is not Kind.ANY and (expression.kind is Kind.TEXT) is not (how in _TEXTS):
        raise LanguageError(f"{{{inside}}} is a {expression.kind.value}, which cannot be written as {how!r}")
    if quoted and expression.kind is not Kind.NUMBER and how not in ("sh", "yaml"):
        raise LanguageError(
            f"{{{inside}}}: text in a command or in YAML is quoted: write {{{computation}:sh}} or :yaml"
        )
    return expression, how


def _by_name(expression: Expression) -> str:
    if expression.kind is Kind.TEXT:
        return "text"
    if not expression.is_name:
        raise LanguageError(f"{{{expression.text}}}: say after a colon how to write it: {', '.join(_NUMBERS)}")
    name = expression.text.strip()
    if _BYTES_PER.search(name):
        return "bytes"
    return next((how for ending, how in _ENDINGS if name.endswith(ending)), "count")


def _shown(value: Value, how: str, *, is_table: bool) -> str | None:
    if value is None:
        return None
    if how in _TEXTS:
        text = value if isinstance(value, str) else _NUMBERS["count"](float(value))
        return _TEXTS[how](text if is_table else clean(text))
    if isinstance(value, str):
        return clean(value)
    return _NUMBERS[how](float(value))


def clean(text: str) -> str:
    """One line of printable text, at most 200 characters."""
    short = _UNPRINTABLE.sub(" ", text[: _TEXT_CAP + 1])
    return short if len(short) <= _TEXT_CAP else short[: _TEXT_CAP - 1] + "…"
