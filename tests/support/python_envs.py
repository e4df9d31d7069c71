"""Clean virtual environments of every Python here, made once a checkout: nothing of the harness is in them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"


def environment(python: str, *requirements: str) -> str:
    """The interpreter of an environment that has just these packages and what they need."""
    name = hashlib.sha256("\n".join([python, *sorted(requirements)]).encode()).hexdigest()[:16]
    directory = CACHE / "envs" / name
    program = directory / "bin" / "python"
    if (directory / "ready").exists():
        return str(program)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _alone(directory.with_suffix(".lock")):  # several test processes share the checkout
        if (directory / "ready").exists():
            return str(program)
        shutil.rmtree(directory, ignore_errors=True)
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        # Unpacking a pip for each takes longer than most of what is installed with it.
        lent = [python, "-m", "pip", "--python"]
        lends = subprocess.run([*lent, python, "--version"], env=env, check=False, capture_output=True).returncode == 0
        bare = ["--without-pip"] if lends else []
        subprocess.run([python, "-m", "venv", *bare, str(directory)], env=env, check=True, capture_output=True)
        if requirements:
            _install([*lent, str(program)] if lends else [str(program), "-m", "pip"], requirements, env)
        (directory / "ready").touch()
    return str(program)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _install(pip: list[str], requirements: tuple[str, ...], env: dict[str, str]) -> None:
    with tempfile.TemporaryFile() as log:
        done = subprocess.run(
            [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-input", *requirements],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        log.seek(0)
        assert done.returncode == 0, log.read().decode("utf-8", "replace")[-3000:]
