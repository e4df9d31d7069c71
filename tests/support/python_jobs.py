"""Long-lived Python workers for tests: one that obeys words from a pipe, and Celery's with a directory as its broker."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from processes import DEADLINE_S
from python_service import PROGRAMS

SCRIPT = PROGRAMS / "python_worker.py"
CELERY_APP = "python_celery_app"
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Worker:
    """The test program that does what words tell it, until it is killed. ``python``: the interpreter and its options."""

    def __init__(
        self,
        python: Sequence[str],
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        script: Path = SCRIPT,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.directory.chmod(0o755)
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        pipe.chmod(0o644)
        self.process = subprocess.Popen(
            [*python, str(script), str(pipe)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, user=user,
        )  # fmt: skip
        self.said: list[str] = []
        self._read_until("ready")
        self._pipe = pipe.open("w")  # it never sees the end of it

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, *words: str) -> None:
        """Words to obey, without waiting for it."""
        self._pipe.write("".join(f"{word}\n" for word in words))
        self._pipe.flush()

    def do(self, *words: str) -> None:
        """Have it obey, one word after the other, until all is done."""
        self.tell(*words)
        for word in words:
            self._read_until(word)

    def _read_until(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if self.said[-1] == word:
                return
        raise AssertionError(f"it ended before {word!r}: {self.said}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def celery_command(python: str, pool: str, concurrency: int) -> list[str]:
    """The command line of a worker."""
    words = ("-A", CELERY_APP, "worker", "--pool", pool, "--concurrency", str(concurrency), "-l", "INFO", *QUIET)
    return [python, "-m", "celery", *words]


class CeleryWorker:
    """A worker of the test application, started with ``env``; its broker is a directory. Killed at the end: Celery itself
    may not end when its children get the signal as well."""

    def __init__(self, python: str, pool: str, env: Mapping[str, str], directory: Path, concurrency: int = 2) -> None:
        self._python = python
        needed = celery_environment(directory)
        self._env = {**os.environ, **needed}
        self._log = (directory / "celery.log").open("wb")
        self.process = subprocess.Popen(
            celery_command(python, pool, concurrency), env={**needed, **env}, cwd=directory,
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def feed(self, code: str) -> None:
        """Run Python text with the application as ``app`` in a process of its own."""
        program = f"import {CELERY_APP} as app\n{code}"
        subprocess.run([self._python, "-c", program], env=self._env, check=True, timeout=DEADLINE_S)

    def pids(self) -> list[int]:
        """The worker and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def output(self) -> str:
        return Path(self._log.name).read_text("utf-8", "replace")  # its own descriptor shares its place with the worker

    def __enter__(self) -> CeleryWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()


def celery_environment(directory: Path) -> dict[str, str]:
    """What the application and those who feed it need; makes the broker's directories."""
    for name in ("queue", "control"):
        (directory / name).mkdir(exist_ok=True)
    return {"CELERY_DIRECTORY": str(directory), "PYTHONPATH": str(PROGRAMS)}
