"""What ``run`` and ``report`` share: recover, analyse, render, write. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.model.report import Report

FORMAT_NAMES = ("text", "html", "json", "md")


def load_report(run_directory: Path) -> Report:
    """The report of a run; first takes in what a killed session had not read. Raises RunError."""
    from harness.analysis.pipeline import analyse
    from harness.analysis.recovery import recover

    recover(run_directory)
    return analyse(run_directory)


def rendered(report: Report, format_name: str, *, colour: bool = False) -> bytes:
    """The report in one of `FORMAT_NAMES`."""
    if format_name == "text" and colour:
        from harness.report.terminal import render

        return render(report, colour=True).encode()
    from harness.report.formats import export

    return export(report, format_name)


def save(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises UsageError when that is not possible."""
    from harness.store.layout import write_atomically

    try:
        write_atomically(path, data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="choose another file with -o") from error
