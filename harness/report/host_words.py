"""What the short reports say about runs on several hosts."""

from __future__ import annotations

from harness.model.report import Report
from harness.report import words
from harness.units import format_duration


def host_lines(report: Report) -> tuple[str, ...]:
    """How hosts of one role compare, and how well their clocks are known; empty for a run on this machine alone."""
    compared = [words.clean(each.text, 600) for each in report.siblings]
    clocks = [
        f"{words.clean(clock.host.name)} {'unknown' if clock.error_ns is None else f'within {format_duration(clock.error_ns)}'}"
        for clock in report.timeline.hosts
    ]
    if not clocks:
        return tuple(compared)
    return (
        *compared,
        f"times are those of the recording machine: {', '.join(clocks)}; no order closer than that is known",
    )
