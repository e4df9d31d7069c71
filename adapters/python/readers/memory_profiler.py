"""memory_profiler: growth of RSS, by line of the watched functions."""

from __future__ import annotations

from adapters.python.readers import fields
from harness.model.profile import LineCost, Profile, ValueType


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    cwd = fields.text(result, "cwd", fields.PATH_CAP)
    lines: list[LineCost] = []
    notes = [
        "Growth of the process's RSS while the line ran: in whole pages, memory that Python reuses does not show, and memory "
        "that was only reserved does not either.",
        "The first line of a function has no growth: memory_profiler would show the whole process there.",
        "A line that runs many times is measured against the highest RSS seen at the line before it.",
    ]
    problems = fields.problems(result)
    notes += [f"Not measured: {problem}" for problem in problems]
    for function in fields.rows(result, "functions", fields.FUNCTIONS_CAP):
        name = fields.text(function, "name", fields.NAME_CAP)
        rows = fields.rows(function, "lines", fields.LINES_CAP - len(lines))
        if not rows:
            notes.append(f"{name} did not run in this request, or ran where its context was not handed on.")
        lines += (
            LineCost(
                file=fields.path(function, cwd),
                line=fields.count(row, "line"),
                function=name,
                hits=fields.count(row, "hits"),
                values=(fields.signed_or_none(row, "increment_bytes"), fields.count(row, "rss_bytes")),
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
        totals=fields.deltas(result),
        notes=(*notes, *fields.honesty(result)),
        complete=not problems,
    )
