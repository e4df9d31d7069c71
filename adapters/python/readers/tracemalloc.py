"""tracemalloc: bytes and blocks still held, by line."""

from __future__ import annotations

from adapters.python.readers import fields
from harness.model.profile import LineCost, Profile, ValueType


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    cwd = fields.text(result, "cwd", fields.PATH_CAP)
    lines = tuple(
        LineCost(
            file=fields.path(row, cwd),
            line=fields.count(row, "line"),
            function="",
            hits=None,
            values=(fields.count(row, "bytes"), fields.count(row, "blocks")),
        )
        for row in fields.rows(result, "lines", fields.LINES_CAP)
    )
    whole = fields.text(result, "scope", 16) == "process"
    until = "at the end of the program" if whole else "at the end of the request, after a garbage collection"
    total = fields.count(result, "lines_total")
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
        totals={key: fields.count(result, key) for key in ("kept_bytes", "kept_blocks", "peak_bytes")}
        | fields.deltas(result),
        notes=(*notes, *fields.honesty(result)),
        complete=total <= len(lines),
    )
