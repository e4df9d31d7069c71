"""Finds a container of podman or docker, by whichever of the two commands is there and knows it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass

from adapters.php.xdebug.elsewhere.place import UnreachableError
from adapters.php.xdebug.elsewhere.seen_processes import begin_of

ENGINES = ("podman", "docker")
_ASK_S = 20.0
_SAID_CAP = 200


@dataclass(frozen=True, slots=True)
class Running:
    """``engine``: path of the command; ``pid``: the container's first process as this machine knows it, None where it does not
    (an engine in a virtual machine, or on another host); ``begin`` tells it from a later one with that pid."""

    engine: str
    pid: int | None
    begin: int | None

    @property
    def lasts(self) -> bool:
        """Whether it is certainly the container that was found."""
        return self.pid is not None and self.begin is not None and begin_of(self.pid) == self.begin


def find(name: str) -> Running:
    """The running container. ``name`` was matched strictly (`place`). Raises UnreachableError."""
    engines = [path for path in map(shutil.which, ENGINES) if path is not None]
    if not engines:
        raise UnreachableError(
            "neither podman nor docker is installed here", "apt-get install podman, or use target.php.xdebug.host"
        )
    said = ""
    for engine in engines:
        state, why = _state(engine, name)
        if state is None:
            said = said or why
            continue
        if state.get("Running") is not True:
            raise UnreachableError(f"the container {name} does not run", f"{engine} start {name}")
        pid = state.get("Pid")
        known = isinstance(pid, int) and not isinstance(pid, bool) and 0 < pid < 1 << 22
        begin = begin_of(pid) if known and isinstance(pid, int) else None
        return Running(engine, pid if begin is not None and isinstance(pid, int) else None, begin)
    raise UnreachableError(
        f"the container {name} is not found: {said}",
        "write its name or id as `podman ps` or `docker ps` shows it to this user; root's containers need root",
    )


def _state(engine: str, name: str) -> tuple[dict[str, object] | None, str]:
    """What the engine says of it, or why it says nothing."""
    argv = [engine, "container", "inspect", "--format", "{{json .State}}", name]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f"{engine} does not answer"
    except OSError as error:
        return None, f"cannot start {engine}: {error.strerror}"
    if done.returncode != 0:
        last = (done.stderr.decode("utf-8", "replace").strip().split("\n") or [""])[-1]
        return None, "".join(c if c.isprintable() else "?" for c in last)[:_SAID_CAP]
    try:
        state = json.loads(done.stdout)
    except ValueError:
        return None, f"{engine} gave no answer that can be read"
    return (state, "") if isinstance(state, dict) else (None, f"{engine} gave no answer that can be read")
