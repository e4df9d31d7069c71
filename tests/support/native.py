"""C programs of ``tests/programs``, compiled where a test needs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / "programs"


def compiled(name: str, into: Path, *options: str, compiler: str = "gcc", package: str = "gcc") -> Path:
    """The program made of ``tests/programs/NAME.c``."""
    assert shutil.which(compiler), f"these tests need {compiler}: apt install {package}"
    program = into / f"{name}-{compiler}"
    command = [
        compiler,
        "-O1",
        "-Wall",
        "-Werror",
        "-pthread",
        *options,
        str(PROGRAMS / f"{name}.c"),
        "-o",
        str(program),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
