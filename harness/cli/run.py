"""``harness run``: record a scenario, judge it, write the reports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.cli.gating import (
    Gate,
    applied,
    baseline_warning,
    check,
    fenced,
    gate_options,
    met,
    read_baselines,
    tell,
    tell_error,
)
from harness.cli.reporting import prescriptions_option
from harness.cli.versions import versioned
from harness.errors import EXIT_EXPECTATION, EXIT_OK


@click.command(name="run", short_help="Run a scenario: start the app, drive it, profile it, judge it.")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
              help="Directory in which the run's own directory is made.")  # fmt: skip
@click.option("--version", metavar="TEXT", help="Version of the application, instead of the scenario's.")
@click.option("--describe", is_flag=True, help="Take the version from git describe in the current directory.")
@prescriptions_option
@gate_options
@click.option("--plain", is_flag=True, help="Lines instead of the live view, as where stderr is no terminal.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def command(
    scenario: Path,
    out: Path,
    version: str | None,
    describe: bool,
    prescriptions: tuple[Path, ...],
    expect: tuple[str, ...],
    baseline: tuple[Path, ...],
    no_diff: bool,
    junit: Path | None,
    ci: bool,
    plain: bool,
    quiet: bool,
) -> int:
    """Run SCENARIO and judge it.

    Progress goes to stderr, a summary to stdout; the last line of stdout is the run directory, which then holds report.html,
    report.json and everything recorded. Ctrl-C ends the run early and keeps it; twice ends it faster.

    \b
    Examples:
      harness run shop.yaml
      harness run shop.yaml --out /var/tmp/runs --quiet
      harness run shop.yaml --ci --junit harness.xml --baseline runs/main --expect 'diff(peak_own) < 5 %'
      PASSWORD=... harness run login.yaml        secrets come from the environment, as ${PASSWORD} in the file
    """
    from harness.analysis.prescriptions import read_directory
    from harness.cli.reading import read_for_run
    from harness.cli.reporting import judge
    from harness.scenario.reader import warnings_of
    from harness.session.live.display import display_on
    from harness.session.record import record
    from harness.session.request import Request

    gate = Gate(expect, baseline, no_diff, junit, ci)
    read = versioned(read_for_run(scenario), version, describe=describe)
    for directory in prescriptions:
        read_directory(directory)  # mistakes are told before anything starts
    check(gate, [request.name for request in read.requests])
    compared = read_baselines(baseline)
    rules = (*(read.resolve_path(text) for text in read.prescriptions), *prescriptions)
    with fenced(gate) as aside:
        progress = display_on(
            sys.stderr,
            os.environ,
            title=read.name,
            interval_ns=read.sample.interval_ns,
            plain=plain or ci,
            quiet=quiet,
            tell_missing=False,
        )
        for doubt in warnings_of(read):
            progress.step(f"warning: {doubt}")
        if (warning := baseline_warning(gate, [line.expr for line in read.expect])) is not None:
            progress.step(f"warning: {warning}")
        request = Request(read, scenario, out, dict(os.environ), observers=(progress.on_tick,))
        outcome = record(request, progress)
        if outcome.error is not None:  # first: it is the reason for whatever is missing below
            click.echo(f"error: {outcome.error}", err=True)
        report = judge(outcome, rules, lambda found: applied(gate, found, compared), aside=aside)
    if outcome.error is not None:
        tell_error(gate, outcome.error)
    if report is not None:
        tell(gate, report, annotated=outcome.error is None)
    if outcome.error is not None:
        return outcome.exit_code
    return EXIT_OK if report is None or met(report) else EXIT_EXPECTATION
