"""The command: list, run, judge, report, measure."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import accuracy
from .corpus import chosen
from .judge import judge_all
from .measure import measure as measure_defect
from .model import Group, Specimen
from .run import Recorded, missing, record_all

KEEP = Path(".cache") / "specimens"

_keep = click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), default=KEEP, show_default=True, help="Where runs are."
)
_group = click.option("--group", type=click.Choice([g.value for g in Group]), help="Only this group.")
_only = click.option("--only", metavar="PATTERN", help="Only names that contain this, or fit this shell pattern.")
_quick = click.option("--quick", is_flag=True, help="Only the quick ones, which CI runs.")


@click.group()
def main() -> None:
    """Specimens: labelled applications, recorded and judged."""


@main.command(name="list")
@_group
@_only
@_quick
def list_(group: str | None, only: str | None, quick: bool) -> None:
    """What there is: name, group, true cause, how it was made."""
    for specimen in _chosen(group, only, quick):
        mark = "quick" if specimen.quick else ""
        click.echo(
            f"{specimen.name:44} {specimen.group:11} {specimen.truth.cause:14} {mark:5} {specimen.truth.why}"
            + ("" if (reason := missing(specimen)) is None else f" [cannot be recorded here: {reason}]")
        )


@main.command()
@_keep
@_group
@_only
@_quick
@click.option("--jobs", type=click.IntRange(1, 8), default=1, show_default=True, help="So many at a time.")
@click.option("--again", is_flag=True, help="Also those that are recorded.")
def run(keep: Path, group: str | None, only: str | None, quick: bool, jobs: int, again: bool) -> None:
    """Record what is not recorded yet. Exit code 1: some could not be."""
    recorded = record_all(_chosen(group, only, quick), keep, jobs, _tell, again=again)
    _end(recorded)


@main.command()
@_keep
@_group
@_only
@_quick
def judge(keep: Path, group: str | None, only: str | None, quick: bool) -> None:
    """Judge what is recorded. Exit code 1: a verdict is wrong."""
    judged, absent = judge_all(_chosen(group, only, quick), keep)
    for j in judged:
        text = "ok" if j.ok else "; ".join(j.reasons)
        click.echo(f"{j.specimen.name:44} {j.specimen.truth.cause:14} -> {j.verdict:14} {j.confidence:6} {text}")
    right = sum(j.ok for j in judged)
    click.echo(f"{right} of {len(judged)} are right" + (f"; {len(absent)} are not recorded" if absent else ""))
    sys.exit(0 if right == len(judged) else 1)


@main.command()
@_keep
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=accuracy.PAGE, show_default=True
)
def report(keep: Path, output: Path) -> None:
    """Write docs/accuracy.md. Exit code 1: a miss has no explanation in misses.toml, or an explanation has no miss."""
    judged, absent = judge_all(chosen(), keep)
    unexplained = accuracy.write(judged, absent, output)
    click.echo(output)
    for line in unexplained:
        click.echo(line, err=True)
    sys.exit(1 if unexplained else 0)


@main.command()
@click.argument("defect")
@click.argument("size", type=int)
@click.option("--calls", type=int, default=500, show_default=True, help="Of each of eight rounds.")
@click.option("--settings", default="{}", help="JSON, as in the specimen's file.")
def measure(defect: str, size: int, calls: int, settings: str) -> None:
    """Bytes that one call of a DEFECT of apps/python keeps, after every round."""
    click.echo("  ".join(f"{value:.0f}" for value in measure_defect(defect, size, calls, settings)))


def _chosen(group: str | None, only: str | None, quick: bool) -> list[Specimen]:
    return chosen(Group(group) if group is not None else None, only, quick)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _end(recorded: list[Recorded]) -> None:
    failed = [r for r in recorded if r.failure is not None and not r.skipped]
    for r in failed:
        _tell(f"not recorded: {r.name}: {r.failure}")
    sys.exit(1 if failed else 0)
