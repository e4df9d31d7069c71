"""A call profile in callgrind's format, written by pyprof2calltree: what KCachegrind opens, as it opens Xdebug's profiles.

Format: https://valgrind.org/docs/manual/cl-format.html. Names come from the target; a line break in one would begin a record.
"""

from __future__ import annotations

import io
import unicodedata

from pyprof2calltree import CalltreeConverter, Code, Entry, Subentry

from harness.model.profile import Frame, Profile

_NOT_PYTHON = "~"  # pstats' word for it, which viewers know
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NS = 1_000_000_000
_ALL = Code(_NOT_PYTHON, 0, "<request>")  # the converter takes its largest function for the total


def write(profile: Profile) -> bytes:
    """The functions and edges of a profile whose first value is time in ns, UTF-8. An entry of our own calls the roots."""
    codes = [_code(frame) for frame in profile.frames]
    calls: dict[int, list[Subentry]] = {}
    for edge in profile.edges:
        callee = codes[edge.callee]
        # Own time of single callers is no part of the format.
        calls.setdefault(edge.caller, []).append(Subentry(callee, edge.calls, 0, 0.0, _s(edge.inclusive_values[0])))
    entries = [
        Entry(codes[f.frame], f.calls, 0, _s(f.self_values[0]), _s(f.inclusive_values[0]), calls.get(f.frame))
        for f in profile.functions
    ]
    roots = [Subentry(codes[n.frame], n.calls, 0, 0.0, _s(n.inclusive_values[0])) for n in profile.tree if n.parent < 0]
    entries.append(Entry(_ALL, 1, 0, 0.0, _s(sum(f.self_values[0] for f in profile.functions)), roots))
    text = io.StringIO(newline="\n")
    CalltreeConverter(entries).output(text)
    return text.getvalue().encode("utf-8")


def _code(frame: Frame) -> Code:
    if frame.line is None:
        return Code(_NOT_PYTHON, 0, _name(frame.function))
    return Code(_name(frame.file), frame.line, _name(frame.function))


def _s(ns: int) -> float:
    """Seconds that the converter, which cuts decimals off, turns into the same ns again."""
    return (ns + 0.5) / _NS


def _name(text: str) -> str:
    """One line that is no reference: ``(1)`` at the beginning would stand for another name."""
    shown = "".join(c if unicodedata.category(c) not in _UNSAFE else f"\\u{ord(c):04x}" for c in text)
    return f"\\{shown}" if shown.startswith("(") else shown or "?"
