"""``harness bundle``: a run as one file to give to others."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.errors import UsageError


@click.command(name="bundle", short_help="Pack a run into one redacted file for a colleague or an issue.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; named after the run when left out.",
)
@click.option("--list", "show", is_flag=True, help="RUN is a bundle: say what is in it and what was taken out.")
@click.option("--with-source", is_flag=True, help="Also lines of source code that profiles show.")
@click.option("--with-logs", is_flag=True, help="Also the end of what the target wrote, redacted.")
@click.option("--with-rules", is_flag=True, help="Also your own prescription rules, as they are.")
def command(run: Path, output: Path | None, *, show: bool, with_source: bool, with_logs: bool, with_rules: bool) -> int:
    """Pack the recorded RUN into one file that `harness report`, `compare` and `export` read like a run.

    What was sent, cookies, headers, query strings, environment values, secrets in command lines, names of hosts and users,
    addresses, source lines and logs are not in it; equal names get equal pseudonyms, so verdict and findings are the same
    (docs/bundle.md). Look at it with --list before you send it.

    \b
    Examples:
      harness bundle runs/20261123-101500-shop
      harness bundle runs/20261123-101500-shop -o for-the-issue.zip
      harness bundle --list for-the-issue.zip
      harness report for-the-issue.zip
    """
    from harness.bundle.contents import contents_of, lines
    from harness.bundle.pack import Wanted, file_name, pack
    from harness.report.words import clean

    if show:
        if output is not None or with_source or with_logs or with_rules:
            raise UsageError("--list only shows what is there", hint="leave out the other options")
        click.echo("\n".join(clean(line, 400) for line in lines(contents_of(run))))
        return 0
    if run.is_file():
        raise UsageError(f"{run} is a file, not a run", hint="harness bundle --list shows what a bundle holds")
    target = output or Path(file_name(run, os.environ))
    contents = pack(run, target, Wanted(source=with_source, logs=with_logs, rules=with_rules), os.environ)
    click.echo("\n".join(clean(line, 400) for line in lines(contents)), err=True)
    click.echo(str(target))
    return 0
