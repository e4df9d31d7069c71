"""Real shells as the other end of a line: what a container or a host has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.xdebug.elsewhere.line import Line
from adapters.php.xdebug.elsewhere.place import HostPlace
from adapters.php.xdebug.elsewhere.shell_outputs import ShellOutputs, script
from harness.clock import Clock, SystemClock

PLACE = HostPlace("staging")


def shells(bin_dir: Path) -> dict[str, list[str]]:
    """Name -> command. The last has busybox's tools and no others, made below ``bin_dir``."""
    found = {name: shutil.which(name) for name in ("dash", "bash", "busybox")}
    missing = [name for name, path in found.items() if path is None]
    assert not missing, f"apt-get install {' '.join(missing)}"
    dash, bash, busybox = (str(path) for path in found.values())
    bin_dir.mkdir(exist_ok=True)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        link = bin_dir / applet
        if not link.is_symlink():
            link.symlink_to(busybox)
    return {
        "dash": [dash],
        "bash": [bash, "--posix"],
        "busybox": ["/usr/bin/env", f"PATH={bin_dir}", busybox, "sh"],
    }


@dataclass(frozen=True)
class ShellHere:
    """See `harness.plugins.spec.Shell`: this machine, as if it were another one."""

    argv: Sequence[str]

    def command(self) -> Sequence[str]:
        return self.argv

    def pid_outside(self, pid: int) -> int | None:
        return pid

    def close(self) -> None:
        pass


def outputs_of(
    argv: list[str], directory: Path, log: str = "", clock: Clock | None = None, *, text: str | None = None
) -> ShellOutputs:
    """The directory as that shell sees it; its waits, not those for answers, are by ``clock``."""

    def connect() -> Line:
        return Line(argv, text or script(), {"dir": str(directory), "log": log}, SystemClock())

    return ShellOutputs(
        PLACE, connect, str(directory), clock or SystemClock(), same_clock=False, pid_outside=lambda pid: pid + 1000
    )
