"""Which engines there are on this machine, in the order in which they are asked."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from harness.targets.engines.api import ApiEngine
from harness.targets.engines.command import CommandEngine
from harness.targets.engines.spec import Engine

COMMANDS = ("podman", "docker")
_SOCKETS = ("/run/podman/podman.sock", "/var/run/docker.sock")


def engines(environ: Mapping[str, str]) -> list[Engine]:
    """Sockets that the user names, the usual sockets that may be used, then the commands. Nothing is asked yet."""
    found: list[Engine] = []
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        scheme, _, path = environ.get(name, "").partition("://")
        if scheme == "unix" and path:
            found.append(ApiEngine(path))
    runtime = environ.get("XDG_RUNTIME_DIR")
    usual = [f"{runtime}/podman/podman.sock"] if runtime else []
    found += [ApiEngine(path) for path in (*usual, *_SOCKETS) if _is_socket(path)]
    search = environ.get("PATH")
    commands = (shutil.which(name, path=search) for name in COMMANDS)
    found += [CommandEngine(path) for path in commands if path is not None]
    return list(dict.fromkeys(found))


def command_for(engine: Engine, environ: Mapping[str, str]) -> CommandEngine | None:
    """A command that reaches the same engine; None where none is installed."""
    if isinstance(engine, CommandEngine):
        return engine
    search, address = environ.get("PATH"), f"unix://{engine.socket_path}" if isinstance(engine, ApiEngine) else ""
    for name, words in (("docker", ("-H", address)), ("podman", ("--remote", "--url", address))):
        path = shutil.which(name, path=search)
        if path is not None:
            return CommandEngine(path, words)
    return None


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode) and os.access(path, os.W_OK)
    except OSError:
        return False
