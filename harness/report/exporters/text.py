"""The terminal summary without colours, for files and logs."""

from __future__ import annotations

from harness.model.report import Report
from harness.report.terminal import render


def export(report: Report) -> bytes:
    """UTF-8 text, at most 100 columns wide."""
    return render(report).encode("utf-8", "replace")
