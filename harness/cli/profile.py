"""``harness profile``: single profile files, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.model.profile import Profile
    from harness.plugins.formats import FileFormat


@click.group(name="profile", short_help="Say what a profile file holds, and what its numbers mean.")
def command() -> None:
    """Profile files by themselves, whoever wrote them: Xdebug, valgrind, pyprof2calltree, php-memprof, xhprof, tideways_xhprof,
    Blackfire's probes.

    \b
    Examples:
      harness profile show cachegrind.out.4711.gz
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
