"""``harness gate``: judge a recorded run by its expectations, for CI."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.gating import Gate, applied, baseline_warning, check, fenced, gate_options, met, read_baselines, tell
from harness.cli.reporting import load_report, prescriptions_option, wants_colour
from harness.errors import EXIT_EXPECTATION, EXIT_OK, UsageError


@click.command(name="gate", short_help="Judge a recorded run by expectations, against a baseline.")
@click.argument("run", type=click.Path(path_type=Path))
@gate_options
@prescriptions_option
@click.option("-q", "--quiet", is_flag=True, help="Print only what was not met.")
def command(
    run: Path,
    expect: tuple[str, ...],
    baseline: tuple[Path, ...],
    no_diff: bool,
    junit: Path | None,
    ci: bool,
    prescriptions: tuple[Path, ...],
    quiet: bool,
) -> int:
    """Judge the recorded RUN by what its scenario expects and by every --expect; the target is not needed.

    Exit code 0: everything holds. 1: something does not, or this run cannot tell, which counts as failed.

    \b
    Examples:
      harness gate runs/20261123-101500-shop
      harness gate runs/20261123-101500-shop --expect 'no leak, descriptors' --expect 'p99 < 200ms of endpoint home'
      harness gate runs/head --baseline runs/main --expect 'diff(peak_own) < 5 %'
      harness gate runs/head --baseline main.report.json --junit results.xml --ci
    """
    from harness.report.terminal import render_expectations

    gate = Gate(expect, baseline, no_diff, junit, ci)
    check(gate)
    with fenced(gate) as aside:
        report = applied(gate, load_report(run, prescriptions), read_baselines(baseline))
        if not report.expectations:
            raise UsageError(
                f"{run}: nothing is expected of it, so it can neither pass nor fail",
                hint="write lines under expect: in the scenario, or give --expect 'verdict is healthy'",
            )
        if (warning := baseline_warning(gate, [e.expr for e in report.expectations])) is not None:
            click.echo(f"warning: {warning}", err=True)
        click.echo(render_expectations(report, colour=wants_colour(), failed_only=quiet), nl=False, err=aside)
    tell(gate, report)
    return EXIT_OK if met(report) else EXIT_EXPECTATION
