"""Targets that obey one-word commands on stdin, and stop themselves so that nothing moves while they are looked at."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Target:
    """A program that answers every line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the target has ended"
        return line.strip()

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def do(self, *words: str) -> None:
        for word in words:
            self.say(word)
            assert self.hear() == "ok"

    @contextmanager
    def at_rest(self) -> Iterator[list[str]]:
        """Stopped by its own hand after "rest"; the list holds its answer once the block is left."""
        said: list[str] = []
        self.say("rest")
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        try:
            yield said
        finally:
            os.kill(self.pid, signal.SIGCONT)
        said.append(self.hear())


@contextmanager
def running(*command: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Target]:
    """The program, from its word "ready" on; killed at the end."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        target = Target(process)
        assert target.hear() == "ready"
        yield target
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
