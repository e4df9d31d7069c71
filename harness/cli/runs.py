"""Runs that a command line names: directories of runs stand for the runs in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import UsageError


def runs_in(named: Sequence[Path]) -> list[Path]:
    """Each run once, in the order given; those of a directory that is none itself by name, bundles in it too. A path that holds
    no run stays, for whoever reads it to say so. Raises UsageError for a directory that cannot be listed."""
    found: dict[Path, Path] = {}
    for path in named:
        for run in [path] if _is_run(path) or not path.is_dir() else list(_held(path)) or [path]:
            found.setdefault(run.resolve(), run)  # a link to the latest one is not one more
    return list(found.values())


def _is_run(path: Path) -> bool:
    from harness.store.layout import DATABASE

    return (path / DATABASE).is_file()


def _held(directory: Path) -> Iterator[Path]:
    from harness.bundle.container import ENDING

    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise UsageError(f"cannot list {directory}: {error.strerror}", hint="name the runs in it") from error
    yield from (entry for entry in entries if (entry.name.endswith(ENDING) and entry.is_file()) or _is_run(entry))
