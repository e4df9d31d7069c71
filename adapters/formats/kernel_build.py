"""Compiles `_cachegrind.c`, when the package is built or installed. Standard library only: the build has nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from adapters.formats.kernel_source import LIBRARY, SOURCE, version_of

_FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong")
_TIMEOUT_S = 300


class BuildError(Exception):
    """It could not be compiled; the message says why."""


def build(source: Path = SOURCE, library: Path = LIBRARY, flags: Sequence[str] = ()) -> None:
    """Compile with ``cc`` or what the environment calls CC; a library in use is replaced, not overwritten. Raises BuildError."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise BuildError("there is no C compiler")
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as scratch:
            made = Path(scratch, library.name)
            _compile(compiler, flags, source, made)
            made.replace(library)
    except OSError as error:
        raise BuildError(f"it cannot be written: {error}") from None


def _compile(compiler: Sequence[str], flags: Sequence[str], source: Path, made: Path) -> None:
    define = f'-DSOURCE_VERSION="{version_of(source)}"'
    argv = [*compiler, *_FLAGS, *flags, define, "-o", str(made), str(source)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{compiler[0]} did not run: {error}") from None
    if done.returncode:
        raise BuildError(f"{compiler[0]} refused it: {done.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    build()
