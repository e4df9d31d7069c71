"""``harness run``: record a scenario, judge it, write the reports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_EXPECTATION, EXIT_OK, HarnessError

if TYPE_CHECKING:
    from harness.model.report import Report
    from harness.session.record import Outcome


@click.command(name="run", short_help="Run a scenario: start the app, drive it, profile it, judge it.")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
              help="Directory in which the run's own directory is made.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(scenario: Path, out: Path, quiet: bool) -> int:
    """Run SCENARIO and judge it.

    Progress goes to stderr, a summary to stdout; the last line of stdout is the run directory, which then holds report.html,
    report.json and everything recorded. Ctrl-C ends the run early and keeps it; twice ends it faster.

    \b
    Examples:
      harness run shop.yaml
      harness run shop.yaml --out /var/tmp/runs --quiet
      PASSWORD=... harness run login.yaml        secrets come from the environment, as ${PASSWORD} in the file
    """
    from harness.cli.reading import read_for_run
    from harness.scenario.reader import warnings_of
    from harness.session.progress import Progress
    from harness.session.record import Request, record

    read = read_for_run(scenario)
    progress = Progress(sys.stderr, quiet=quiet)
    for doubt in warnings_of(read):
        progress.step(f"warning: {doubt}")
    outcome = record(Request(read, scenario, out, dict(os.environ)), progress)
    try:
        report = _judge(outcome)
    finally:  # whatever happens to the analysis, the run is there and can be reported again
        click.echo(str(outcome.run_directory))
    if outcome.error is not None:
        click.echo(f"error: {outcome.error}", err=True)
        return outcome.exit_code
    if report is not None and any(e.passed is not True for e in report.expectations):
        return EXIT_EXPECTATION
    return EXIT_OK


def _judge(outcome: Outcome) -> Report | None:
    """Analyse and write the reports; None when recording failed already and the partial run cannot be analysed."""
    from harness.cli.reporting import load_report, rendered, save
    from harness.store.layout import REPORT_HTML, REPORT_JSON

    try:
        report = load_report(outcome.run_directory)
        click.echo(rendered(report, "text", colour=sys.stdout.isatty()).decode().rstrip())
        save(outcome.run_directory / REPORT_JSON, rendered(report, "json"))
        save(outcome.run_directory / REPORT_HTML, rendered(report, "html"))
        click.echo(f"report: {outcome.run_directory / REPORT_HTML}")
    except HarnessError as error:
        if outcome.error is None:
            raise
        click.echo(f"warning: no report was written for the partial run: {error.message}", err=True)
        return None
    return report
