"""Programs of ours for the sampler to look at where there is no target: they say a word, wait, and end with their stdin."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.doctor.model import Looked

_PYTHON = (
    "import sys,sysconfig; sys.stdout.write(sysconfig.get_path('include')+'\\n'); sys.stdout.flush(); sys.stdin.read()"
)
_UNDUMPABLE = "import ctypes; ctypes.CDLL(None).prctl(4,0,0,0,0); " + _PYTHON  # PR_SET_DUMPABLE, linux/prctl.h
_PHP = r'echo "\n"; fflush(STDOUT); fgets(STDIN);'
_WORD_S = 3.0
_CAP = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and the pool it stands for."""

    pool: str
    argv: tuple[str, ...]


def python(pool: str, interpreter: str = sys.executable) -> Program:
    """An interpreter without site-packages, that nothing keeps from being looked into by its own user."""
    return Program(pool, (interpreter, "-I", "-S", "-c", _PYTHON))


def undumpable(pool: str) -> Program:
    """Stands for what changed its user after it started, and for processes of other users: the kernel guards both alike."""
    return Program(pool, (sys.executable, "-I", "-S", "-c", _UNDUMPABLE))


def php(pool: str, interpreter: str) -> Program:
    """A PHP without configuration."""
    return Program(pool, (interpreter, "-n", "-r", _PHP))


@contextlib.contextmanager
def running(programs: Sequence[Program]) -> Iterator[tuple[Looked, ...]]:
    """Those that started and spoke, until the end of the block; a program that cannot be started is left out."""
    started: list[tuple[Program, subprocess.Popen[bytes]]] = []
    try:
        for program in programs:
            with contextlib.suppress(OSError):
                process = subprocess.Popen(
                    program.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    start_new_session=True, cwd="/",
                )  # fmt: skip
                started.append((program, process))
        deadline = time.monotonic() + _WORD_S
        said = [(program, process, _word(process, deadline)) for program, process in started]
        yield tuple(
            Looked(process.pid, program.pool, os.geteuid(), include=word.strip())
            for program, process, word in said
            if word is not None
        )
    finally:
        for _, process in started:
            _end(process)


def _word(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    """Its first line; None when it ended or took too long."""
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n") and len(said) < _CAP:
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        data = os.read(process.stdout.fileno(), _CAP)
        if not data:
            return None
        said += data
    return os.fsdecode(said)


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
