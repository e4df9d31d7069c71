"""Run a command and learn what it cost: user and system time of it and of every child it waited for, from the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


class Done(NamedTuple):
    """A command that has ended."""

    cpu_s: float
    output: str


def environment() -> dict[str, str]:
    """One that finds this checkout's package and writes no byte code into it."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C"}


def reap(process: subprocess.Popen[str]) -> float:
    """Wait for the end; CPU seconds. Raises RuntimeError when it failed."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def run(argv: Sequence[str], cwd: Path | None = None) -> Done:
    """Run to the end. Raises RuntimeError, with what it said, when it failed."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, cwd=cwd, env=environment()
        )
        assert process.stdout is not None
        with process.stdout as stdout:
            output = stdout.read()
        try:
            return Done(reap(process), output)
        except RuntimeError as error:
            said.seek(0)
            raise RuntimeError(f"{error}: {said.read()[-2000:]}") from None


@contextmanager
def c_loop() -> Iterator[Path]:
    """The compiled yardstick. Raises RuntimeError without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the C loop that everything is compared with needs a C compiler: apt install gcc")
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as directory:
        program = Path(directory, "c_loop")
        run([compiler, "-O2", "-Wall", "-o", str(program), str(HERE / "c_loop.c")])
        yield program
