"""Compiles `_cachegrind.c`, when the package is built or installed. Standard library only: the build runs this file by itself."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("_cachegrind.c")
LIBRARY = Path(__file__).with_name("_cachegrind.so")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong")
_TIMEOUT_S = 300


class BuildError(Exception):
    """It could not be compiled; the message says why."""


def source_hash(source: Path = SOURCE) -> str:
    """What a library must say that it was built from."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def build(source: Path = SOURCE, library: Path = LIBRARY, flags: Sequence[str] = ()) -> None:
    """Compile with ``cc`` or what the environment calls CC; a library in use is replaced, not overwritten. Raises BuildError."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise BuildError("there is no C compiler")
    with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as scratch:
        made = Path(scratch, library.name)
        define = f'-DSOURCE_HASH="{source_hash(source)}"'
        argv = [*compiler, *_FLAGS, *flags, define, "-o", str(made), str(source)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{compiler[0]} did not run: {error}") from None
        if done.returncode:
            raise BuildError(f"{compiler[0]} refused it: {done.stderr.strip()[-2000:]}")
        made.replace(library)


if __name__ == "__main__":
    build()
