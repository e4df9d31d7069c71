"""``harness profile``: single profile files, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_OK, EXIT_USAGE, UsageError

if TYPE_CHECKING:
    from harness.model.profile import Profile
    from harness.plugins.formats import FileFormat


@click.group(name="profile", short_help="Say what a profile file holds and means; convert it.")
def command() -> None:
    """Profile files by themselves, whoever wrote them: Xdebug, valgrind, pyprof2calltree, php-memprof, xhprof, tideways_xhprof,
    Blackfire's probes.

    \b
    Examples:
      harness profile show cachegrind.out.4711.gz
      harness profile convert cachegrind.out.4711.gz --to speedscope
      harness profile bulk /var/tmp/xdebug -o /srv/fleet
    """


@command.command(name="show", short_help="What a profile file says, and what its numbers mean.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sort", type=click.Choice(["self", "inclusive"]), default="self", show_default=True,
              help="Largest functions by their own value, or with all they called.")  # fmt: skip
@click.option(
    "--value", "name", metavar="NAME", help="Which value, such as time or memory_growth; the first when left out."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many functions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(file: Path, sort: str, name: str | None, limit: int, as_json: bool) -> None:
    """Say which format FILE has, what its numbers are and are not, its totals and its largest functions with their places;
    the stack at the peak and the collector's runs where it has them. gzip is unpacked.

    Exit code 2 when it is in no format the harness knows.

    \b
    Examples:
      harness profile show cachegrind.out.4711.gz
      harness profile show trace.xt --value memory_growth --sort inclusive
      harness profile show callgrind.out.4711 --json | jq .totals
    """
    from harness.report.profile_view import Choice, Source, document, text

    format_, profile = _read(file)
    choice = Choice(_column(profile, name), inclusive=sort == "inclusive", limit=limit)
    source = Source(str(file), format_.name, format_.title)
    click.echo((document if as_json else text)(source, profile, choice), nl=False)


@command.command(name="convert", short_help="Write a profile in the format of another program.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--to", "target", metavar="F", help="The format to write.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write, '-': standard output; default: made of FILE's name.",
)
@click.option("--value", "name", metavar="NAME", help="Only this value, such as time or memory_growth.")
@click.option("--list", "show_list", is_flag=True, help="Say which formats there are.")
def convert(file: Path | None, target: str | None, output: Path | None, name: str | None, show_list: bool) -> None:
    """Write FILE, which may be in any format that `harness profile show` reads, in the format F of another program.

    Numbers that do not add up over a call tree, as Xdebug's memory does not, are written as what functions gained
    themselves, and named so (self_...). A format that holds one value a file makes a file for each.

    \b
    Examples:
      harness profile convert --list
      harness profile convert cachegrind.out.4711.gz --to speedscope
      harness profile convert trace.xt --to collapsed --value time -o - | flamegraph.pl > time.svg
    """
    from harness.cli.exporting import chosen, listing, plain, say, write_file, write_profile
    from harness.plugins.registry import load_profile_exports

    formats = load_profile_exports()
    if show_list:
        click.echo("\n".join(listing("profiles (--to)", formats)))
        return
    if file is None or target is None:
        raise UsageError(
            "a FILE and --to are needed", hint="harness profile convert FILE --to F; --list shows the formats"
        )
    format_ = chosen(formats, target, "format")
    _, profile = _read(file)
    names: Sequence[str | None] = (name,)
    if name is None and format_.values is not None:
        try:
            names = format_.values(profile)
        except ValueError as error:
            raise UsageError(f"cannot write this profile as {format_.name}: {error}") from error
        if output is not None and len(names) > 1:
            raise UsageError(
                f"{format_.name} holds one value a file", hint=f"choose one with --value: {', '.join(names)}"
            )
    for each in names:
        data = write_profile(profile, format_, each)
        if output is not None and str(output) == "-":
            click.echo(data, nl=False)
            continue
        middle = "" if format_.values is None or each is None else f"{plain(each, 'value')}."
        path = output or Path(f"{plain(file.name.removesuffix('.gz'), 'profile')}.{middle}{format_.suffix}")
        write_file(path, (data,))
        say(f"wrote {path}")


@command.command(name="bulk", short_help="Read thousands of profiles into a dataset, on all processors or a cluster.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="DATASET", required=True,
              help="Directory or URL of the dataset; that of harness export --parquet may be used.")  # fmt: skip
@click.option("--top", type=click.IntRange(1, 1_000_000), default=500, show_default=True,
              help="So many functions of each profile, by each of its values.")  # fmt: skip
@click.option("--threads", is_flag=True, help="Threads instead of processes.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="How many processes or threads; default: one a processor."
)
@click.option("--scheduler", metavar="URL", help="Dask scheduler whose workers read, such as tcp://10.0.0.1:8786.")
def bulk(directory: Path, output: str, top: int, threads: bool, workers: int | None, scheduler: str | None) -> int:
    """Read every profile below DIR, in any format that `harness profile show` knows, and write what their functions cost as
    rows of DATASET, for `harness fleet DATASET functions` and others. To read DIR again replaces what it gave before.

    Workers of a scheduler have this package, and see DIR under the same path. Exit code 2 when no file is a profile.

    \b
    Examples:
      harness profile bulk /var/tmp/xdebug -o /srv/fleet
      harness fleet /srv/fleet functions
      harness profile bulk /mnt/profiles -o s3://bucket/fleet --scheduler tcp://10.0.0.1:8786
    """
    from harness.cli.exporting import say
    from harness.fleet.bulk import bulk as read_all
    from harness.fleet.dataset import Dataset
    from harness.report.words import counted

    if scheduler is not None and (threads or workers is not None):
        raise UsageError("--threads and --workers are for this machine", hint="a scheduler has workers of its own")
    dataset = Dataset(output, create=True)
    done = read_all(directory, dataset, top=top, scheduler=scheduler, processes=not threads, workers=workers)
    for problem in done.problems:
        say(f"not read: {problem}")
    if done.unread > len(done.problems):
        say(f"not read: {done.unread - len(done.problems)} more")
    others = f", {counted(done.foreign, 'file is', 'files are')} in no known format" if done.foreign else ""
    say(f"read {done.profiles} of {counted(done.files, 'file')} into {dataset.storage.shown}{others}")
    return EXIT_OK if done.profiles else EXIT_USAGE


def _read(file: Path) -> tuple[FileFormat, Profile]:
    from harness.plugins.formats import head_of, recognised
    from harness.plugins.registry import load_formats
    from harness.report.words import clean

    shown = clean(str(file))
    formats = load_formats()
    try:
        found = recognised(head_of(file), formats)
        if len(found) == 1:
            return found[0], found[0].read(file)
    except OSError as error:
        raise UsageError(f"cannot read {shown}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"cannot read {shown}: {clean(str(error), 500)}") from error
    except MemoryError as error:
        raise UsageError(f"cannot read {shown}: there is not enough memory for it here") from error
    if found:
        raise UsageError(f"{shown} may be in several formats: {', '.join(format_.name for format_ in found)}")
    raise UsageError(
        f"{shown} is in no known format", hint=f"known are: {'; '.join(format_.title for format_ in formats)}"
    )


def _column(profile: Profile, name: str | None) -> int:
    """The number of the value that was asked for."""
    from harness.report.words import clean

    names = [kind.name for kind in profile.value_types]
    if name is None:
        return 0
    if name not in names:
        there = ", ".join(map(clean, names)) or "no values, only what is listed"
        raise UsageError(f"the profile has no value {clean(name)!r}", hint=f"it has {there}")
    return names.index(name)
