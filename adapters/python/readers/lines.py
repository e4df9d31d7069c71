"""lines: net and peak bytes of tracemalloc, by line of the watched functions."""

from __future__ import annotations

from adapters.python.readers import fields
from harness.model.profile import LineCost, Profile, ValueType

_TOTALS_CAP = 50


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile; ``totals`` has each function's own sums under its name."""
    cwd = fields.text(result, "cwd", fields.PATH_CAP)
    lines: list[LineCost] = []
    totals: dict[str, int | None] = {
        "watched_net_bytes": fields.signed(result, "net_bytes"),
        "peak_bytes": fields.signed_or_none(result, "peak_bytes"),
    }
    problems = fields.problems(result)
    notes = [
        "Bytes that Python's allocators and libraries that report to tracemalloc handed out: net, what a line kept or gave back "
        "over all its runs; peak, the most that one run of it needed above what was there at its start.",
        "A line includes all that is called from it, in functions that are watched too: lines of a caller and of what it calls "
        "do not add up. The net totals count each byte once.",
        "The total 'watched net' is of the watched functions only; 'peak' is of the whole request, the server's work "
        "included.",
        "At its return a function's local variables still live; they are freed in the line that called it.",
        "A line with an await or yield is not counted while it is suspended: what other tasks and threads do then is not in it.",
        fields.FREE_LISTS,
    ]
    if totals["peak_bytes"] is None:
        notes.append("No peaks: Python 3.8 cannot reset tracemalloc's.")
    notes += [f"Not measured: {problem}" for problem in problems]
    for function in fields.rows(result, "functions", fields.FUNCTIONS_CAP):
        name = fields.text(function, "name", fields.NAME_CAP)
        rows = fields.rows(function, "lines", fields.LINES_CAP - len(lines))
        if not rows:
            notes.append(f"{name} did not run in this request, or ran where its context was not handed on.")
        elif len(totals) < 3 * _TOTALS_CAP:
            totals[f"{name} calls"] = fields.count(function, "calls")
            totals[f"{name} net_bytes"] = fields.signed(function, "net_bytes")
            totals[f"{name} peak_bytes"] = fields.signed_or_none(function, "peak_bytes")
        lines += (
            LineCost(
                file=fields.path(function, cwd),
                line=fields.count(row, "line"),
                function=name,
                hits=fields.count(row, "hits"),
                values=(fields.signed(row, "net_bytes"), fields.signed_or_none(row, "peak_bytes")),
            )
            for row in rows
        )
    return Profile(
        tool="lines",
        value_types=(
            ValueType("net", "bytes", "kept or given back"),
            ValueType("peak", "bytes", "most above its start"),
        ),
        lines=tuple(lines),
        totals=totals | fields.deltas(result),
        notes=(*notes, *fields.honesty(result)),
        complete=not problems,
    )
