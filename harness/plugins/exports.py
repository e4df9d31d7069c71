"""Formats that other programs read: what the entry point groups ``harness.exports`` and ``harness.profile_exports`` name.

An exporter is a module-level `RunExport` or `ProfileExport`. Both are pure: the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.profile import Profile
    from harness.model.report import Report


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export: a name that the exporter chose (never the target), and its bytes in pieces, to be taken once."""

    name: str
    pieces: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class RunExport:
    """A format for the timeline of a whole run. ``suffix`` without the dot, ``opens_with``: the programs, in words.

    ``parts``: the files, in a stable order. ``several``: they are to be a directory, or a zip file; else there is exactly one.
    ``parts`` and the pieces may raise UsageError when a package is missing.
    """

    name: str
    suffix: str
    title: str
    opens_with: str
    parts: Callable[[Report], Iterable[Part]]
    several: bool = False


@dataclass(frozen=True, slots=True)
class ProfileExport:
    """A format for one profile. ``suffix`` without the dot, ``opens_with``: the programs, in words.

    ``write``: the file. Its second argument names the one value to write, None: all the format can hold. ValueError with the
    reason when the profile has nothing that the format can show, or no such value.
    ``values``: names of the values that a profile has for a format of which one file holds one value; None: it holds all.
    """

    name: str
    suffix: str
    title: str
    opens_with: str
    write: Callable[[Profile, str | None], bytes]
    values: Callable[[Profile], Sequence[str]] | None = None
