"""``harness report``: analyse a recorded run, in any format."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.reporting import FORMAT_NAMES, load_report, prescriptions_option, rendered, save, wants_colour


@click.command(name="report", short_help="Analyse a recorded run again, in any format.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format", "format_name", type=click.Choice(FORMAT_NAMES), default="text", show_default=True, help="What to make."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; stdout when left out."
)
@prescriptions_option
def command(run: Path, format_name: str, output: Path | None, prescriptions: tuple[Path, ...]) -> int:
    """Analyse the recorded RUN (a directory that `harness run` printed) and show or write its report.

    Works on finished and interrupted runs, and on one that is still being recorded. The target is not needed.

    \b
    Examples:
      harness report runs/20261123-101500-shop
      harness report runs/20261123-101500-shop --format html -o shop.html
      harness report runs/20261123-101500-shop --format json | jq .verdict
      harness report runs/20261123-101500-shop --prescriptions our-rules/
    """
    data = rendered(load_report(run, prescriptions), format_name, colour=output is None and wants_colour())
    if output is not None:
        save(output, data)
        click.echo(f"wrote {output}", err=True)
    else:
        click.echo(data, nl=False)
    return 0
