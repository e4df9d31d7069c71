"""What ``run``, ``watch`` and ``report`` share: recover, analyse, render, write. Heavy imports happen inside."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.model.report import Report
    from harness.session.request import Outcome

FORMAT_NAMES = ("text", "html", "json", "md", "junit", "github")

prescriptions_option = click.option(
    "--prescriptions",
    metavar="DIR",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Directory with rules of your own about what to do (docs/prescriptions.md); may be given several times.",
)


def load_report(run_directory: Path, prescriptions: Sequence[Path] = ()) -> Report:
    """The report of a run's directory or of a bundle; first takes in what a killed session had not read. ``prescriptions``:
    directories of further rules.

    Raises RunError, and UsageError for mistakes in rules.
    """
    from harness.analysis.pipeline import analyse
    from harness.analysis.recovery import recover

    if run_directory.is_file():
        from harness.bundle.unpack import unpacked

        with unpacked(run_directory) as directory:
            return analyse(directory, prescriptions)
    recover(run_directory)
    return analyse(run_directory, prescriptions)


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


def judge(
    outcome: Outcome,
    prescriptions: Sequence[Path] = (),
    finish: Callable[[Report], Report] | None = None,
    *,
    aside: bool = False,
) -> Report | None:
    """Analyse what was recorded: the summary and, as its last line, the run's directory to stdout, reports into it.
    ``prescriptions``: directories of users' rules, which are kept in the run. ``finish``: what is done to the report before it is
    written. ``aside``: the summary goes to stderr.

    None when nothing was recorded, or when recording failed and the partial run cannot be analysed.
    """
    if outcome.run_directory is None:
        return None
    try:
        return _judge(outcome.run_directory, outcome.error, prescriptions, finish, aside=aside)
    finally:  # whatever happens to the analysis, the run is there and can be reported again
        click.echo(str(outcome.run_directory))


def _judge(
    run_directory: Path,
    error: HarnessError | None,
    prescriptions: Sequence[Path],
    finish: Callable[[Report], Report] | None,
    *,
    aside: bool,
) -> Report | None:
    from harness.analysis.prescriptions import keep
    from harness.report.terminal import render_brief
    from harness.store.layout import REPORT_HTML, REPORT_JSON

    try:
        keep(run_directory, prescriptions)
        report = load_report(run_directory)
        report = report if finish is None else finish(report)
        if error is None or _began(report):
            click.echo(render_brief(report, colour=wants_colour()).rstrip(), err=aside)
        save(run_directory / REPORT_JSON, rendered(report, "json"))
        save(run_directory / REPORT_HTML, rendered(report, "html"))
        click.echo(
            f"report: {run_directory / REPORT_HTML}\nmore:   harness report {shlex.quote(str(run_directory))}",
            err=aside,
        )
    except HarnessError as trouble:
        if error is None:
            raise
        click.echo(f"warning: no report was written for the partial run: {trouble.message}", err=True)
        return None
    return report


def _began(report: Report) -> bool:
    """Whether the run got beyond its start: one that did not has measured nothing there could be a verdict about."""
    from harness.model.span import PhaseName

    before = (PhaseName.PREFLIGHT, PhaseName.LAUNCH)
    return any(window.phase not in before for window in report.timeline.windows)


def wants_colour() -> bool:
    """Whether stdout is a terminal whose user has not set NO_COLOR (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
