"""Starts programs as the harness would: the same plan, the same environment."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.python.adapter import ADAPTER
from harness.plugins.spec import AdapterContext, LaunchPlan

TOKEN = "5f" * 16
FUNCTIONS = ("app:report",)


def context(directory: Path, tools: Sequence[str] = ()) -> AdapterContext:
    """A run's context in a directory of its own."""
    return AdapterContext(directory, TOKEN, {}, tuple(tools), FUNCTIONS if tools else ())


def environment(directory: Path, argv: Sequence[str], tools: Sequence[str] = ()) -> dict[str, str]:
    """What a program sees when the harness launches it for these tools."""
    prepared = ADAPTER.prepare(context(directory, tools), [LaunchPlan("app", tuple(argv))])
    found = {**os.environ, **next(plan for plan in prepared.plans if plan.measured).env}
    return {key: value for key, value in found.items() if value is not None}


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
