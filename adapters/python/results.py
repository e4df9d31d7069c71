"""Result files of the agent's tools -> `Profile`. The files come from inside the target and are hostile."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from harness.model.profile import LineCost, Profile, ValueType

FORMAT = "harness-python-tool/1"
_LINES_CAP = 20_000
_FUNCTIONS_CAP = 200
_PATH_CAP = 1024
_NAME_CAP = 256
_INT_LIMIT = 2**63

Fields = Mapping[str, Any]


def parse_result(tool: str, data: bytes) -> Profile:
    """A result file of ``tool``; ValueError with the reason when it is not one."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"not a {FORMAT} file")
    if fields.get("tool") != tool:
        raise ValueError(f"a result of another tool than {tool}")
    reader = _READERS.get(tool)
    if reader is None:
        raise ValueError(f"no reader for the tool {tool}")
    return reader(fields)


def result_values(data: bytes) -> dict[str, int | None]:
    """The ``values`` of a result file: honesty fields and deltas; ValueError when it has none."""
    fields = json.loads(data)
    return _values(fields if isinstance(fields, dict) else {})


def _tracemalloc(fields: Fields) -> Profile:
    cwd = _text(fields, "cwd", _PATH_CAP)
    lines = tuple(
        LineCost(
            file=_path(row, cwd),
            line=_count(row, "line"),
            function="",
            hits=None,
            values=(_count(row, "bytes"), _count(row, "blocks")),
        )
        for row in _rows(fields, "lines", _LINES_CAP)
    )
    whole = _text(fields, "scope", 16) == "process"
    until = "at the end of the program" if whole else "at the end of the request, after a garbage collection"
    total = _count(fields, "lines_total")
    notes = [
        f"Bytes still held {until}; memory that was freed before then is not in the lines.",
        "Python's allocators and libraries that report to tracemalloc only; other native memory is invisible.",
    ]
    if total > len(lines):
        notes.append(f"The {len(lines)} largest of {total} lines; the totals cover all of them.")
    if not whole:
        notes.append("A response sent in several parts may add one part to the peak.")
    return Profile(
        tool="tracemalloc",
        value_types=(
            ValueType("inuse_space", "bytes", "still held"),
            ValueType("inuse_objects", "count", "blocks still held"),
        ),
        lines=lines,
        totals={key: _count(fields, key) for key in ("kept_bytes", "kept_blocks", "peak_bytes")} | _deltas(fields),
        notes=(*notes, *_honesty(fields)),
        complete=total <= len(lines),
    )


def _memory_profiler(fields: Fields) -> Profile:
    cwd = _text(fields, "cwd", _PATH_CAP)
    lines: list[LineCost] = []
    notes = [
        "Growth of the process's RSS while the line ran: in whole pages, memory that Python reuses does not show, and memory "
        "that was only reserved does not either.",
        "The first line of a function has no growth: memory_profiler would show the whole process there.",
        "A line that runs many times is measured against the highest RSS seen at the line before it.",
    ]
    problems = fields.get("problems")
    if isinstance(problems, list):
        notes += [f"Not measured: {str(p)[:_NAME_CAP]}" for p in problems[:_FUNCTIONS_CAP]]
    for function in _rows(fields, "functions", _FUNCTIONS_CAP):
        name = _text(function, "name", _NAME_CAP)
        rows = _rows(function, "lines", _LINES_CAP - len(lines))
        if not rows:
            notes.append(
                f"{name} did not run in this request, or ran where it could not be followed (a thread pool, before 3.12)."
            )
        lines += (
            LineCost(
                file=_path(function, cwd),
                line=_count(row, "line"),
                function=name,
                hits=_count(row, "hits"),
                values=(_signed_or_none(row, "increment_bytes"), _count(row, "rss_bytes")),
            )
            for row in rows
        )
    return Profile(
        tool="memory_profiler",
        value_types=(
            ValueType("memory_growth", "bytes", "RSS growth"),
            ValueType("rss", "bytes", "highest RSS"),
        ),
        lines=tuple(lines),
        totals=_deltas(fields),
        notes=(*notes, *_honesty(fields)),
        complete=not problems,
    )


_READERS: Mapping[str, Callable[[Fields], Profile]] = {"tracemalloc": _tracemalloc, "memory_profiler": _memory_profiler}


def _honesty(fields: Fields) -> list[str]:
    """What the run of this request was like, in words."""
    values = _values(fields)
    notes = []
    if values.get("alone") == 0:
        notes.append("Other requests ran in this process at the same time: every figure is an upper bound.")
    if values.get("runs_before") == 0:
        notes.append(
            "The first measured request of this process: what the application loads or caches once may be in it."
        )
    other = values.get("other_thread_cpu_percent")
    if other:
        notes.append(f"{other} % of the processor time in this window was spent by other threads of the process.")
    return notes


def _deltas(fields: Fields) -> dict[str, int | None]:
    values = _values(fields)
    totals: dict[str, int | None] = {"time_ns": values.get("wall_ns")}
    for name, start, end in (
        ("rss_growth_bytes", "rss_start_bytes", "rss_end_bytes"),
        ("blocks_growth", "blocks_start", "blocks_end"),
    ):
        before, after = values.get(start), values.get(end)
        totals[name] = None if before is None or after is None else after - before
    return totals


def _values(fields: Fields) -> dict[str, int | None]:
    raw = fields.get("values")
    if not isinstance(raw, dict):
        raise ValueError("values is not an object")
    return {
        str(k)[:64]: int(v) if isinstance(v, int) and abs(v) < _INT_LIMIT else None for k, v in list(raw.items())[:64]
    }


def _rows(fields: Fields, key: str, cap: int) -> list[Fields]:
    rows = fields.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{key} is not a list of objects")
    return rows[: max(0, cap)]


def _count(fields: Fields, key: str) -> int:
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < _INT_LIMIT:
        raise ValueError(f"{key} is not a count")
    return value


def _signed_or_none(fields: Fields, key: str) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not int or abs(value) >= _INT_LIMIT:
        raise ValueError(f"{key} is not an integer")
    return value


def _text(fields: Fields, key: str, cap: int) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")
    return value[:cap].encode("utf-8", "replace").decode("utf-8")


def _path(fields: Fields, cwd: str) -> str:
    """A source file as the code names it; relative names, as scripts have before 3.9, are relative to the program's cwd."""
    name = _text(fields, "file", _PATH_CAP)
    return name if name.startswith(("/", "<")) or not name else posixpath.normpath(posixpath.join(cwd, name))
