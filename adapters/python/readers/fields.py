"""Checked access to the fields of a result file. Everything raises ValueError with the reason when a field is not what it
should be."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = "harness-python-tool/1"
# True of everything that watches allocators: lines, tracemalloc, memray.
FREE_LISTS = (
    "Small objects (floats, small tuples, lists and dicts) often come from the interpreter's free lists, for which nothing is "
    "allocated: a line that keeps a few of them may show less than they are, down to 0. For leaks below some 2 kB a request look "
    "at survivors, or let the request repeat the call in a loop."
)
LINES_CAP = 20_000
FUNCTIONS_CAP = 200
PATH_CAP = 1024
NAME_CAP = 256
_INT_LIMIT = 2**63

Fields = Mapping[str, Any]
Number = Callable[[Fields, str], int]


def load(tool: str, data: bytes) -> Fields:
    """The object in a result file of ``tool``."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"not a {FORMAT} file")
    if fields.get("tool") != tool:
        raise ValueError(f"a result of another tool than {tool}")
    return fields


def honesty(fields: Fields) -> list[str]:
    """What the run of this request was like, in words."""
    found = values(fields)
    notes = []
    if found.get("alone") == 0:
        notes.append("Other requests ran in this process at the same time: every figure is an upper bound.")
    if found.get("runs_before") == 0:
        notes.append(
            "The first measured request of this process: what the application loads or caches once may be in it."
        )
    other = found.get("other_thread_cpu_percent")
    if other:
        notes.append(f"{other} % of the processor time in this window was spent by other threads of the process.")
    return notes


def deltas(fields: Fields) -> dict[str, int | None]:
    """What changed from before to after: totals every tool has."""
    found = values(fields)
    totals: dict[str, int | None] = {"time_ns": found.get("wall_ns")}
    for name, start, end in (
        ("rss_growth_bytes", "rss_start_bytes", "rss_end_bytes"),
        ("blocks_growth", "blocks_start", "blocks_end"),
    ):
        before, after = found.get(start), found.get(end)
        totals[name] = None if before is None or after is None else after - before
    return totals


def values(fields: Fields) -> dict[str, int | None]:
    """The honesty fields and measures around the run."""
    raw = fields.get("values")
    if not isinstance(raw, dict):
        raise ValueError("values is not an object")
    return {
        str(k)[:64]: int(v) if isinstance(v, int) and abs(v) < _INT_LIMIT else None for k, v in list(raw.items())[:64]
    }


def rows(fields: Fields, key: str, cap: int) -> list[Fields]:
    """At most ``cap`` objects of a list."""
    found = fields.get(key)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"{key} is not a list of objects")
    return found[: max(0, cap)]


def tuples(fields: Fields, key: str, width: int, cap: int) -> list[tuple[int, ...]]:
    """At most ``cap`` rows of ``width`` whole numbers, none negative."""
    found = fields.get(key)
    if not isinstance(found, list):
        raise ValueError(f"{key} is not a list")
    for row in found[: max(0, cap)]:
        if (
            not isinstance(row, list)
            or len(row) != width
            or not all(type(n) is int and 0 <= n < _INT_LIMIT for n in row)
        ):
            raise ValueError(f"{key} is not a list of {width} counts each")
    return [tuple(row) for row in found[: max(0, cap)]]


def problems(fields: Fields) -> list[str]:
    """What the tool said went wrong, in its words."""
    return texts(fields, "problems")


def texts(fields: Fields, key: str) -> list[str]:
    """A list of texts, of which both the number and the lengths are capped; empty when it is none."""
    found = fields.get(key)
    return [str(each)[:NAME_CAP] for each in found[:FUNCTIONS_CAP]] if isinstance(found, list) else []


def count(fields: Fields, key: str) -> int:
    """A whole number, not negative."""
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < _INT_LIMIT:
        raise ValueError(f"{key} is not a count")
    return value


def signed(fields: Fields, key: str) -> int:
    """A whole number of either sign."""
    value = signed_or_none(fields, key)
    if value is None:
        raise ValueError(f"{key} is not an integer")
    return value


def signed_or_none(fields: Fields, key: str) -> int | None:
    """A whole number of either sign, or None."""
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not int or abs(value) >= _INT_LIMIT:
        raise ValueError(f"{key} is not an integer")
    return value


def text(fields: Fields, key: str, cap: int) -> str:
    """The first ``cap`` characters of a text, fit for storage."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")
    return value[:cap].encode("utf-8", "replace").decode("utf-8")


def path(fields: Fields, cwd: str) -> str:
    """A source file as the code names it; relative names, as scripts have before 3.9, are relative to the program's cwd."""
    name = text(fields, "file", PATH_CAP)
    return name if name.startswith(("/", "<")) or not name else posixpath.normpath(posixpath.join(cwd, name))
