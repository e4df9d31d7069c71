"""Peaks of resident memory in words: how far the high-water mark rose, and on whom it is blamed."""

from __future__ import annotations

from harness.model.highwater import Clue, HighWater
from harness.model.report import Report
from harness.units import format_bytes

_WHO = {
    Clue.RECORD: "by what its record in the target says",
    Clue.ALONE: "the only one at that time",
}


def peak_line(report: Report) -> str | None:
    """The largest rise in one line; None where there was none, or nobody is to blame."""
    named = [rise for rise in report.high_water if rise.endpoint is not None]
    if not named:
        return None
    rise = max(named, key=lambda r: (r.rise, -r.t_ns))
    more = len(report.high_water) - 1
    others = f"; {more} more in the full report" if more else ""
    sizes = f"rose by {format_bytes(rise.rise)} to {format_bytes(rise.mark)}"
    return f"process {rise.process} {sizes}: {blamed(rise)}{kept(rise)}{others}"


def blamed(rise: HighWater) -> str:
    """Who did it: ``a request to export, by what its record in the target says``."""
    requests = f"{rise.candidates} requests" if rise.candidates != 1 else "1 request"
    if rise.endpoint is None:
        return f"nobody can be named among {requests}" if rise.candidates else "no request was in flight"
    if rise.clue in (Clue.RECORD, Clue.ALONE):
        return f"a request to {rise.endpoint}, {_WHO[rise.clue]}"
    return f"requests to {rise.endpoint}, one of which was in flight each time"


def kept(rise: HighWater) -> str:
    """What of it stayed, as an addition."""
    if rise.kept is None:
        return ""
    return f"; {format_bytes(rise.kept)} of that stayed resident" if rise.kept else "; none of that stayed resident"
