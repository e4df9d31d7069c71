"""``harness doctor``: what a scenario needs, looked at without changing anything."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_OK, EXIT_TARGET

if TYPE_CHECKING:
    from harness.plugins.spec import Check

_MARKS = {"error": ("✗", "red"), "warning": ("!", "yellow"), "info": ("·", None)}


@click.command(name="doctor", short_help="Check what a scenario needs on this machine, change nothing.")
@click.argument("scenario", type=click.Path(path_type=Path))
def command(scenario: Path) -> int:
    """Check what SCENARIO needs on this machine: programs, extensions, ports, profilers. Nothing is started or changed.

    Exit code 3 when a run would not start.

    \b
    Example:
      harness doctor shop.yaml
    """
    from harness.cli.reading import read_for_run
    from harness.plugins.registry import load_adapter
    from harness.plugins.spec import AdapterContext, CheckLevel
    from harness.scenario.variables import resolve
    from harness.session import compiling
    from harness.session.record import chosen_tools

    read = read_for_run(scenario)
    if read.runtime == "any":
        click.echo("runtime: any - nothing to check; processes and the kernel are watched from outside")
        return EXIT_OK
    adapter = load_adapter(read.runtime)
    tools = chosen_tools(read, adapter)
    target = read.target
    assert target is not None
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as directory:
        options = resolve(target.adapter_options, os.environ)
        functions = read.profile.functions
        context = AdapterContext(
            Path(directory), "0" * 32, options, tools, functions, target.base_url, read.scenario_dir
        )
        checks = adapter.preflight(context, compiling.launch_plans(read, read.scenario_dir, os.environ))
    for check in checks:
        _show(check)
    failed = sum(check.level is CheckLevel.ERROR for check in checks)
    if failed:
        click.echo(f"{failed} of {len(checks)} checks would stop the run")
        return EXIT_TARGET
    click.echo(f"ready: {', '.join(tools) or 'no profiler asked for'}")
    return EXIT_OK


def _show(check: Check) -> None:
    mark, colour = _MARKS[check.level]
    click.echo(click.style(f"{mark} {check.name}: {check.message}", fg=colour))
    if check.fix:
        click.echo(f"    fix: {check.fix}")
    if check.costs:
        click.echo(f"    without it: {check.costs}")
