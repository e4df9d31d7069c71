"""What a process says of itself when the agent has come."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import adapters.python

AGENT = Path(adapters.python.__file__).parent / "agent"
PROGRAM = (
    "import sys, types; package = types.ModuleType('_harness_agent'); "
    f"package.__path__ = [{str(AGENT)!r}]; sys.modules['_harness_agent'] = package; "
    "import _harness_agent.boot as boot; sys.stdout.write(boot._command_line())"
)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-c", PROGRAM, "--password", "hunter2"], "-c"),
        (["-c" + PROGRAM], "-c"),
        (["-Bc" + PROGRAM], "-B"),
    ],
)
def test_the_interpreter_and_the_script_but_no_program_text(arguments: list[str], told: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == f"{sys.executable} {told}"
