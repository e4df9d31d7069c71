"""Starts programs as the harness would: the same plan, the same environment."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from adapters.python.adapter import ADAPTER
from harness.plugins.spec import AdapterContext, LaunchPlan

TOKEN = "5f" * 16
FUNCTIONS = ("app:report",)


def context(directory: Path, tools: Sequence[str] = ()) -> AdapterContext:
    """A run's context in a directory of its own."""
    return AdapterContext(directory, TOKEN, {}, tuple(tools), FUNCTIONS if tools else ())


def plans(directory: Path, argv: Sequence[str], tools: Sequence[str] = ()) -> tuple[LaunchPlan, list[LaunchPlan]]:
    """The program as the harness launches it for these tools, and what it starts beside it for the profiled pass."""
    prepared = ADAPTER.prepare(context(directory, tools), [LaunchPlan("app", tuple(argv))]).plans
    return next(plan for plan in prepared if plan.measured), [plan for plan in prepared if not plan.measured]


def environment(plan: LaunchPlan) -> dict[str, str]:
    """What a plan's program sees."""
    return {key: value for key, value in {**os.environ, **plan.env}.items() if value is not None}


@contextlib.contextmanager
def companion(plan: LaunchPlan) -> Iterator[None]:
    """A program of a plan, for as long as the block lasts; it listens when the block begins, and ends with its stdin."""
    assert plan.ready is not None
    address = urlsplit(plan.ready)
    with subprocess.Popen(
        plan.argv, env=environment(plan), cwd=plan.cwd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as program:
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection((str(address.hostname), int(address.port or 0))).close()
                    break
                if program.poll() is not None:
                    raise RuntimeError(f"{plan.name} did not start")
                time.sleep(0.02)
            yield
        finally:
            program.kill()


def interpreters() -> dict[str, str]:
    """CPython 3.8 to 3.13 as found, our own first."""
    found = {platform.python_version(): sys.executable}
    for path in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")):
        question = "import platform; print(platform.python_implementation(), platform.python_version())"
        done = subprocess.run([path, "-I", "-c", question], capture_output=True, text=True, check=False)
        name, _, version = done.stdout.strip().partition(" ")
        if name == "CPython" and 8 <= int(version.split(".")[1]) <= 13:
            found.setdefault(version, str(path))
    return found
