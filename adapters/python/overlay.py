"""A virtual environment of ours around a target's interpreter, for programs that are started with -E or -I.

Such programs ignore PYTHONPATH, but not the .pth files of the environment their interpreter belongs to. The environment is
made in the run's directory: links to the target's interpreter, and one .pth file that adds the directories the target would
have searched and then loads the agent. What the program can notice: sys.prefix and sys.executable are the environment's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from adapters.python.interpreter import Command
from harness.errors import HarnessError

_TIMEOUT_S = 60
_ANSWER_CAP = 1 << 16
_PTH = "harness.pth"
# Run by the target's interpreter, with the flag that makes the overlay necessary: with -I there is no user's site directory.
_PROGRAM = """
import json, os, site, sys, venv
venv.EnvBuilder(symlinks=True, with_pip=False).create(sys.argv[1])
own = site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
print(json.dumps([path for path in own if os.path.isdir(path)]))
"""


def helps(command: Command) -> bool:
    """Whether a command cannot load the agent as it is, but could from an overlay: not with -S, which leaves .pth files out."""
    return command.kind == "python" and any(f in command.flags for f in "EI") and "S" not in command.flags


def argv(command: Command, python: Path) -> tuple[str, ...]:
    """The same command, run by the overlay's interpreter; what a script's first line says is said outright."""
    return (*command.before, str(python), *command.arguments)


def build(root: Path, boot_dir: Path, command: Command, env: Mapping[str, str]) -> Path:
    """The interpreter of the overlay for ``command``, made below ``root`` unless it is there; HarnessError when it cannot be."""
    flags = "".join(sorted(set(command.flags) & set("EIs")))
    words = [*command.interpreter, f"-{flags}"]
    directory = root / hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
    python = directory / "bin" / "python"
    if (directory / "ready").exists():
        return python
    try:
        done = subprocess.run(
            [*words, "-c", _PROGRAM, str(directory)], env=dict(env), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TIMEOUT_S, check=True,
        )  # fmt: skip
        [packages] = directory.glob("lib/python*/site-packages")
        (packages / _PTH).write_text(_pth(_directories(done.stdout), boot_dir), "ascii")
        _open_to_readers(directory)
        (directory / "ready").touch()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise HarnessError(
            f"no overlay environment could be made from {command.interpreter[0]}: {_reason(error)}",
            hint="drop `overlay` from target.python, or remove -E and -I from the command line or the script's first line",
        ) from error
    return python


def _directories(said: bytes) -> list[str]:
    lines = said[-_ANSWER_CAP:].splitlines()  # the last one: what is run at the start of a Python may print, too
    found = json.loads(lines[-1] if lines else b"")
    if not isinstance(found, list) or not all(isinstance(path, str) for path in found):
        raise ValueError("its interpreter named no directories")
    return found


def _pth(directories: list[str], boot_dir: Path) -> str:
    """Each line is a statement. The agent comes last, so that a sitecustomize among the target's packages is found behind it.

    Python reads the file twice when it starts in a virtual environment; the second time the import does nothing, and what
    would otherwise hide the directory is not run.
    """
    add = "".join(f"import site; site.addsitedir({path!a})\n" for path in directories)
    boot = f"{str(boot_dir)!a}"
    return f"{add}import sys; sys.path.insert(0, {boot}); import sitecustomize; {boot} in sys.path and sys.path.remove({boot})\n"


def _open_to_readers(directory: Path) -> None:
    """Workers may run under another user id, and the umask may have closed what was made."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        return said[-1][:200] if said else f"exit code {error.returncode}"
    return str(error)[:200]
