"""What ``export`` and ``profile convert`` share: the exporters by name, names of files, writing in pieces."""

from __future__ import annotations

import difflib
import gzip
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from harness.errors import UsageError
from harness.report.sink import Sink

if TYPE_CHECKING:
    from harness.model.profile import Profile
    from harness.plugins.exports import Part, ProfileExport

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LETTERS = 100
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can say: equal contents are equal bytes


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def opens_with(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


def chosen(formats: Sequence[_N], name: str, what: str) -> _N:
    """The exporter of that name. UsageError with all names when there is none."""
    for each in formats:
        if each.name == name:
            return each
    names = [each.name for each in formats]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(f"no {what} {name!r}", hint=f"{hint}formats: {', '.join(names)}")


def listing(title: str, formats: Sequence[_Named]) -> Iterator[str]:
    """Lines that say what there is."""
    yield f"{title}:"
    width = max((len(each.name) for each in formats), default=0)
    for each in formats:
        yield f"  {each.name:<{width}}  {each.title}; opens with {each.opens_with}"


def plain(text: str, otherwise: str) -> str:
    """A text from a target as part of a file name: ASCII letters, digits, dot, dash; no dot first."""
    return _NOT_PLAIN.sub("-", text[:_NAME_LETTERS]).strip(".-") or otherwise


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file atomically, packed with gzip (no time, no name) where its name says ``.gz`` and the content is not."""
    from harness.store.layout import write_pieces_atomically

    if not path.name:
        raise UsageError(f"cannot write {path}: that is no file", hint="choose another file with -o")
    try:
        write_pieces_atomically(path, _packed(pieces) if path.name.endswith(".gz") else pieces)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="choose another file with -o"
        ) from error


def write_directory(directory: Path, parts: Iterable[Part]) -> None:
    """Write files into a directory, which is made if it is not there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {directory}: {error.strerror}", hint="choose another one with -o") from error
    for part in parts:
        write_file(directory / part.name, part.pieces)


def zipped(parts: Iterable[Part]) -> Iterator[bytes]:
    """The files as one zip file, piece by piece: the same bytes for the same files."""
    out = Sink()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            info = zipfile.ZipInfo(part.name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                for piece in part.pieces:
                    member.write(piece)
                    yield out.taken()
    yield out.taken()


def write_profile(profile: Profile, format_: ProfileExport, value: str | None) -> bytes:
    """The profile in a format. UsageError when the format cannot show it."""
    try:
        return format_.write(profile, value)
    except ValueError as error:
        raise UsageError(f"cannot write this profile as {format_.name}: {error}") from error


def say(text: str) -> None:
    """A line for people; standard output is for data."""
    click.echo(text, err=True)


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    iterator = iter(pieces)
    first = next(iterator, b"")
    if first.startswith(b"\x1f\x8b"):
        yield first
        yield from iterator
        return
    out = Sink()
    with gzip.GzipFile("", "wb", 6, out, mtime=0) as packer:
        packer.write(first)
        for piece in iterator:
            packer.write(piece)
            yield out.taken()
    yield out.taken()
