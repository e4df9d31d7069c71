"""Agents in a container: the directory of theirs that is mounted from here."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.model.process import ProcessInfo
from harness.session.agents.deployed import (
    ANOTHER_MOUNTED,
    ENVIRONMENT,
    ENVIRONMENT_CAP,
    Deployed,
    deployed,
    for_runtime,
    no_agent,
)

_LOCK = ".in-use"


@dataclass(frozen=True, slots=True)
class AgentDirectory:
    """A directory that `harness agent` has made. ``says``: its agent.env."""

    path: Path
    says: Deployed
    _lock: int

    @classmethod
    def open(cls, path: Path, runtime: str) -> AgentDirectory:
        """For one run at a time. Raises UsageError."""
        found = for_runtime(read_environment(path), runtime)
        if isinstance(found, str):
            raise UsageError(no_agent(path, found), hint=ANOTHER_MOUNTED)
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{path} cannot be used: {_LOCK}: {error.strerror}", hint=ANOTHER_MOUNTED) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise UsageError(f"another run uses {path}", hint="wait for it to end") from None
        return cls(path.resolve(), found, lock)

    @property
    def token(self) -> str:
        """What its agents take orders for."""
        return self.says.token

    def close(self) -> None:
        """Let the next run have it."""
        with contextlib.suppress(OSError):
            os.close(self._lock)


def read_environment(path: Path) -> Deployed | str:
    """What the agent.env in a directory of this machine says; else why it is none of ours."""
    try:
        # a pipe in its place, which the container may put there, must not make us wait for a writer
        descriptor = os.open(path / ENVIRONMENT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return f"{ENVIRONMENT} is not a file"
            return deployed(file.read(ENVIRONMENT_CAP))
    except FileNotFoundError:
        return deployed(None)
    except OSError as error:
        return f"{ENVIRONMENT}: {error.strerror}"


def is_on(host: str, info: ProcessInfo) -> bool:
    """Whether a process is on this host, as `ProcessKey` calls it."""
    return info.key.host == host
