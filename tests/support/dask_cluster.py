"""A real Dask scheduler with workers, each a process of its own on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import distributed

LOOPBACK = "127.0.0.1"
_PATIENCE_S = 60


def lethal(number: int) -> int:
    """A task as some file may be for the process that reads it."""
    if number == 1:
        os._exit(11)
    return number


@contextmanager
def cluster(workers: int, directory: Path) -> Iterator[str]:
    """The scheduler's address, when all workers are there."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            _started("scheduler", "--host", LOOPBACK, "--port", "0", "--no-dashboard", cwd=directory)
        )
        address = _address(scheduler)
        for _ in range(workers):
            options = ("--nthreads", "1", "--host", LOOPBACK, "--no-dashboard", "--local-directory", str(directory))
            stack.enter_context(_started("worker", address, *options, cwd=directory))
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=_PATIENCE_S)
        yield address


def tasks_of_workers(address: str) -> dict[str, int]:
    """How many tasks each worker carried out."""

    def carried_out(dask_worker: distributed.Worker) -> int:
        return sum("executing" in map(str, entry) and "memory" in map(str, entry) for entry in dask_worker.state.log)

    with distributed.Client(address, set_as_default=False) as client:
        found: dict[str, int] = client.run(carried_out)
    return found


@contextmanager
def _started(what: str, *arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # for `lethal`
    with open(cwd / f"{what}.log", "a") as log:
        out = subprocess.PIPE if what == "scheduler" else log
        process = subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=out, text=True, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE_S)


def _address(scheduler: subprocess.Popen[str]) -> str:
    assert scheduler.stderr is not None
    for line in scheduler.stderr:
        if (found := re.search(r"Scheduler at:\s+(tcp://\S+)", line)) is not None:
            return found[1]
    raise AssertionError("the scheduler did not start")
