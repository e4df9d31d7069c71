"""Programs as a user without rights: as nobody where we are root."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534
# By way of env: setpriv itself still has root's capabilities when it executes a program, which has not.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env")


def python_of_nobody() -> str:
    """Ours if nobody may run it, else the distribution's of the same version: our packages are built for that."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        if subprocess.run([*AS_NOBODY, python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    raise AssertionError(f"user nobody can run neither {sys.executable} nor a Python of its version in /usr/bin")


def unprivileged(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``harness ARGUMENTS`` as nobody where we are root, else as we are."""
    if os.geteuid() != 0:
        command: list[str] = [sys.executable]
    else:
        command = [*AS_NOBODY, python_of_nobody()]
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(cwd), "LANG": "C.UTF-8",
        "PYTHONPATH": f"{CHECKOUT}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    return subprocess.run(
        [*command, "-m", "harness", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
