"""``harness export``: a recorded run in the formats of other programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.exporting import (
    chosen,
    listing,
    plain,
    say,
    write_directory,
    write_file,
    write_profile,
    zipped,
)
from harness.cli.reporting import load_report
from harness.cli.runs import runs_in
from harness.errors import EXIT_OK, EXIT_USAGE, RunError, UsageError

if TYPE_CHECKING:
    from harness.fleet.dataset import Dataset
    from harness.model.report import Report
    from harness.plugins.exports import ProfileExport, RunExport


_SAY_EVERY_S = 5.0  # a run takes a second, and there may be thousands


@click.command(name="export", short_help="A run's timeline or profiles, in the formats of other programs.")
@click.argument("runs", metavar="RUN...", type=click.Path(path_type=Path), nargs=-1)
@click.option("--format", "format_name", metavar="F", help="Write the timeline of the whole run in this format.")
@click.option("--profiles", metavar="F", help="Write all profiles of the run in this format instead.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File or directory to write; default: a name made of the run's.",
)
@click.option(
    "--parquet", metavar="URL", help="Add the runs to the dataset of many runs in this directory or at this URL."
)
@click.option(
    "--version", metavar="TEXT", help="With --parquet: the version of the application, if not the scenario's."
)
@click.option("--samples", is_flag=True, help="With --parquet: all samples too, which may be millions of rows.")
@click.option("--replace", is_flag=True, help="With --parquet: write runs that are there already again.")
@click.option("--list", "show_list", is_flag=True, help="Say which formats there are.")
def command(
    runs: tuple[Path, ...],
    format_name: str | None,
    profiles: str | None,
    output: Path | None,
    parquet: str | None,
    version: str | None,
    samples: bool,
    replace: bool,
    show_list: bool,
) -> int:
    """Write the recorded RUN in the format of another program: its timeline (samples, requests, events, findings) with
    --format, or the profiles that were taken in it with --profiles. With --parquet: add one or many runs to a dataset that
    `harness fleet` asks; a run that is there already changes nothing, and a directory of runs stands for those in it.

    A format of several files makes a directory, or a zip file when the name given with -o ends in ".zip". A name that ends
    in ".gz" is packed with gzip. "-o -" writes to standard output.

    \b
    Examples:
      harness export --list
      harness export runs/20261123-101500-shop --format chrome-trace -o shop.json.gz
      harness export runs/20261123-101500-shop --format parquet
      harness export runs/20261123-101500-shop --profiles speedscope -o shop-profiles
      harness export runs --parquet /srv/fleet
    """
    from harness.plugins.registry import load_profile_exports, load_run_exports

    if show_list:
        click.echo("\n".join(listing("timeline of a run (--format)", load_run_exports())))
        click.echo("\n".join(listing("profiles (--profiles)", load_profile_exports())))
        return 0
    if not runs:
        raise UsageError(
            "which run? No directory was given", hint="harness export RUN --format F; --list shows the formats"
        )
    if sum(given is not None for given in (format_name, profiles, parquet)) != 1:
        raise UsageError(
            "give one of --format, --profiles and --parquet", hint="harness export --list shows what each of them takes"
        )
    if parquet is not None:
        return _add(runs_in(runs), parquet, version, samples=samples, replace=replace)
    if version is not None or samples or replace:
        raise UsageError("--version, --samples and --replace go with --parquet")
    if len(runs) > 1:
        raise UsageError(f"one run at a time, got {len(runs)}", hint="only --parquet takes many")
    run = runs[0]
    if format_name is not None:
        _timeline(load_report(run), chosen(load_run_exports(), format_name, "export format"), output)
    else:
        _profiles(load_report(run), chosen(load_profile_exports(), profiles or "", "format of profiles"), output)
    return 0


def _add(runs: Sequence[Path], place: str, version: str | None, *, samples: bool, replace: bool) -> int:
    """Each run by itself: one that cannot be read is told, and the others are added all the same."""
    from harness.fleet.dataset import Dataset
    from harness.fleet.tables import fleet_run
    from harness.report.words import clean, counted

    dataset = Dataset(place, create=True)
    refused, added = [], 0
    said_s = time.monotonic()
    for number, path in enumerate(runs, 1):
        try:
            if not replace and _there(dataset, path):
                continue
            report = load_report(path)
        except RunError as error:
            refused.append(path)
            say(f"left out: {clean('; '.join(filter(None, (error.message, error.hint))))}")
            continue
        done = dataset.add(fleet_run(report, version=version, samples=samples), replace=replace)
        added += done.new
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"{number} of {counted(len(runs), 'run')}")
    say(f"added {added} of {counted(len(runs), 'run')} to {dataset.storage.shown}")
    return EXIT_USAGE if refused else EXIT_OK


def _there(dataset: Dataset, path: Path) -> bool:
    """Told before a run is analysed, which takes a while. A bundle is analysed first."""
    from harness.fleet.tables import fleet_key
    from harness.report.words import clean
    from harness.store.reader import read_manifest

    if path.is_file():
        return False
    manifest = read_manifest(path)
    there = dataset.there(fleet_key(manifest))
    if there is not None:
        version = "" if there.partition.version is None else f" as version {clean(there.partition.version)}"
        say(f"{clean(manifest.run_id)}: is there already{version}")
    return there is not None


def _timeline(report: Report, format_: RunExport, output: Path | None) -> None:
    parts = format_.parts(report)
    name = plain(report.timeline.manifest.run_id, "run")
    if format_.several:
        path = output or Path(f"{name}-{format_.name}")
        if str(path) == "-":
            raise UsageError(f"{format_.name} is several files", hint="name a directory or a .zip file with -o")
        if path.suffix == ".zip" and not path.is_dir():
            write_file(path, zipped(parts))
        else:
            write_directory(path, parts)
    else:
        path = output or Path(f"{name}.{format_.suffix}")
        (part,) = parts
        if str(path) == "-":
            for piece in part.pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        write_file(path, part.pieces)
    say(f"wrote {path}")


def _profiles(report: Report, format_: ProfileExport, output: Path | None) -> None:
    """Every profile that was read; one that the format cannot show is told and left out."""
    from harness.plugins.exports import Part
    from harness.report.words import clean, counted

    directory = output or Path(f"{plain(report.timeline.manifest.run_id, 'run')}-{format_.name}")
    if str(directory) == "-":
        raise UsageError("profiles are several files", hint="name a directory with -o")
    written = 0
    for number, view in enumerate(report.profiles, 1):
        if view.profile is None:
            continue
        artifact = view.artifact
        stem = f"{number:03}-{plain(artifact.tool, 'tool')}-{plain(artifact.endpoint or '', 'all')}"
        shown = f"profile {number} ({clean(artifact.tool)}, {clean(artifact.endpoint or 'no endpoint')})"
        try:
            names = [None] if format_.values is None else list(format_.values(view.profile))
            files = [
                Part(f"{stem}.{'' if name is None else plain(name, 'value') + '.'}{format_.suffix}",
                     [write_profile(view.profile, format_, name)])
                for name in names
            ]  # fmt: skip
        except (UsageError, ValueError) as error:
            say(f"left out: {shown}: {error}")
            continue
        write_directory(directory, files)
        written += len(files)
    if not written:
        raise UsageError(f"the run has no profile that could be written as {format_.name}")
    say(f"wrote {counted(written, 'file')} into {directory}")
