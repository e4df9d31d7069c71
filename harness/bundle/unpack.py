"""Open a bundle from anybody: a private directory that looks like a run, gone when it is no longer needed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.bundle.container import MANIFEST, extract
from harness.bundle.contents import contents_of
from harness.errors import RunError, UsageError, one_line
from harness.store import layout
from harness.store.copying import check_database


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The run in a bundle as a directory that only this user can enter. What goes wrong while it is judged is the file's fault.

    Raises RunError, and UsageError when there is no room for it.
    """
    contents = contents_of(path)
    if layout.DATABASE not in contents.members or MANIFEST in contents.members:
        raise RunError(f"{path}: not a bundle: there is no recording in it")
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as place:
        directory = Path(place)
        try:
            extract(
                path, directory, {name: (member.size_bytes, member.sha256) for name, member in contents.members.items()}
            )
        except OSError as error:
            raise UsageError(
                f"cannot unpack {path}: {error.strerror or error}", hint="set TMPDIR to a directory with more room"
            ) from error
        try:
            check_database(directory / layout.DATABASE)
        except RunError as error:
            raise RunError(f"{path}: {error.message}", hint=error.hint) from error
        try:
            yield directory
        except RunError as error:  # nobody knows the directory
            raise RunError(error.message.replace(str(directory), str(path)), hint=error.hint) from error
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise RunError(f"{path}: what is in it does not fit together: {one_line(error)}") from error
