"""``harness`` with a terminal of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import DEADLINE_S, MARK, Harness, marked, wait_for
from screen import Terminal


@contextmanager
def on_a_terminal(terminal: Terminal, cwd: Path, *arguments: str, **env: str) -> Iterator[Harness]:
    """``harness ARGUMENTS`` with the terminal as its stdin and stderr; whatever is left of its tree is killed at the end."""
    mark = os.urandom(8).hex()
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", MARK: mark, **env}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "harness", *arguments]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=terminal.slave, stdout=subprocess.PIPE, stderr=terminal.slave, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield Harness(process, mark)
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()


def ended(terminal: Terminal, run: Harness) -> int:
    """Wait for the end, reading what it draws; the exit code."""
    wait_for(lambda: [terminal.pump(0.05), run.process.poll() is not None][1], "the command to end")
    while terminal.pump(0.2):
        pass
    return run.process.returncode
