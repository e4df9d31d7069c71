"""``harness tune``: the kernel's parameters for memory, explained and judged; nothing is ever set."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.scenario.hints import did_you_mean
from harness.units import format_duration, parse_duration_ns

if TYPE_CHECKING:
    from harness.tune.model import Host, Parameter

_OVER_S = 3.0
_HOUR_NS = 3_600_000_000_000
_NARROW, _WIDE = 60, 120
_LONGEST_NAME = 100


def _over(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None or value == "0":
        return None if value is None else 0.0
    try:
        ns = parse_duration_ns(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not 100_000_000 <= ns <= _HOUR_NS:
        raise click.BadParameter(f"{value!r} is not between 100 ms and 1 h")
    return ns / 1e9


@click.command(name="tune", short_help="Kernel parameters for memory, judged by measurements; sets none.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to make.",
)
@click.option("--run", type=click.Path(path_type=Path), help="Also judge by what this recorded run measured.")
@click.option(
    "--over", metavar="TIME", callback=_over, help="Look at the counters for this long; 0 looks once.  [default: 3s]"
)
@click.option(
    "--explain", metavar="NAME", help="Everything about one parameter, also what is wrongly advised about it."
)
@click.option("--all", "every", is_flag=True, help="Also at length what is to be left as it is.")
def command(format_name: str, run: Path | None, over: float | None, explain: str | None, every: bool) -> None:
    """Say how the kernel's parameters for memory stand, what they mean, and whether a change is worth it on this machine.

    A change is recommended only where something measured here and now, or in a recorded run, would get better by it; most often
    the answer is: leave it. With each come the commands to set it, to keep it, and to undo both. This command itself sets
    nothing, ever. Works without root, and says what it could not read.

    \b
    Examples:
      harness tune                                 look for 3 s and judge all of them: first what matters
      harness tune --all                           the same, with what each of them means
      harness tune --over 60s                      while the service is slow
      harness tune --run runs/20261123-101500-shop   also by what a run measured
      harness tune --explain vm.swappiness         one of them, at length
      harness tune --format json | jq '.parameters[] | select(.verdict == "change") | .commands'
    """
    from harness.tune import json_, text
    from harness.tune.entries import entries, entry, long_text

    parameter = None if explain is None else _parameter(explain)
    host = _host(run, _OVER_S if over is None else over)
    if format_name == "json":
        click.echo(json_.document(host, entries(host) if parameter is None else (entry(parameter, host),)))
        return
    paper = text.Paper(sys.stdout.isatty() and not os.environ.get("NO_COLOR"), _columns(), every)
    if parameter is None:
        click.echo(text.render(host, entries(host), paper), nl=False, color=True)
    else:
        click.echo(text.explain(entry(parameter, host), long_text(parameter), host, paper), nl=False, color=True)


def _parameter(name: str) -> Parameter:
    from harness.tune.parameters import PARAMETERS, named

    found = named(name)
    if found is None:
        known = [parameter.name for parameter in PARAMETERS]
        meant = _meant(name[:_LONGEST_NAME], known)
        raise UsageError(f"there is no parameter {name!r} here{meant}", hint=f"known are: {', '.join(known)}")
    return found


def _meant(name: str, known: Sequence[str]) -> str:
    """A guess, by the whole name or by its last part: people leave ``vm.`` out."""
    last = {whole.rpartition(".")[2]: whole for whole in known}
    close = did_you_mean(name, known)
    if close or not (near := get_close_matches(name.rpartition(".")[2], last, n=1)):
        return close
    return f" (did you mean {last[near[0]]!r}?)"


def _host(run: Path | None, over_s: float) -> Host:
    from harness.tune.look import look

    if run is None:
        return look(over_s, pause=_patient)
    from harness.analysis.pipeline import analyse
    from harness.tune.recorded import with_run

    report = analyse(run)
    return with_run(look(over_s, pause=_patient), report.timeline, report.findings, str(run))


def _patient(seconds: float) -> None:
    """Wait; people at a terminal are told for what, and how much longer."""
    if not sys.stderr.isatty():
        time.sleep(seconds)
        return
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        click.echo(
            f"\r\x1b[Klooking at the kernel's counters, {format_duration(left * 1e9)} more (--over 0 skips it)",
            err=True,
            nl=False,
        )
        time.sleep(min(1.0, left))
    click.echo("\r\x1b[K", err=True, nl=False)


def _columns() -> int:
    return max(_NARROW, min(_WIDE, shutil.get_terminal_size((100, 24)).columns))
