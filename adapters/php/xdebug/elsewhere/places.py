"""From a place to the `Outputs` of it."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from functools import partial

from adapters.php.xdebug.elsewhere import containers
from adapters.php.xdebug.elsewhere.line import Line, LineError
from adapters.php.xdebug.elsewhere.place import HostPlace, Place, ProcessPlace, UnreachableError
from adapters.php.xdebug.elsewhere.process_outputs import ProcessOutputs
from adapters.php.xdebug.elsewhere.seen_processes import pid_outside, pids_matching
from adapters.php.xdebug.elsewhere.shell_outputs import ShellOutputs, script
from harness.clock import Clock
from harness.errors import TargetError
from harness.plugins.spec import Shell

ShellTo = Callable[[str, str | None], Shell]  # see `harness.plugins.spec.AdapterContext.shell`

_known: dict[tuple[Place, str, str | None], ProcessOutputs | ShellOutputs] = {}


def outputs_in(
    place: Place, directory: str, log: str | None, clock: Clock, shell_to: ShellTo
) -> ProcessOutputs | ShellOutputs:
    """The output directory in this place. Always the same for the same: a line to it stays open until this process ends."""
    key = (place, directory, log)
    if key not in _known:
        _known[key] = new_outputs(place, directory, log, clock, shell_to)
        atexit.register(_known[key].close)
    return _known[key]


def new_outputs(
    place: Place, directory: str, log: str | None, clock: Clock, shell_to: ShellTo
) -> ProcessOutputs | ShellOutputs:
    """The same for the caller alone, who closes it."""
    if isinstance(place, ProcessPlace):
        return ProcessOutputs(place, partial(pids_matching, place.text), directory, log, clock)
    if isinstance(place, HostPlace):
        shell = shell_to(place.address, place.container)
        connect = partial(_line, shell.command, directory, log, clock)
        return ShellOutputs(
            place, connect, directory, clock, same_clock=False, pid_outside=shell.pid_outside, let_go=shell.close
        )
    container = _Container(place.name)
    if not container.needs_a_shell:
        return ProcessOutputs(place, container.pids, directory, log, clock)
    connect = partial(_line, container.shell_command, directory, log, clock)
    return ShellOutputs(place, connect, directory, clock, same_clock=True, pid_outside=container.pid_outside)


class _Container:
    """A container by name; what was found is asked for again only when its first process has ended."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: containers.Running | None = None

    def find(self) -> containers.Running:
        """Raises UnreachableError."""
        if self._found is None or not self._found.lasts:
            self._found = containers.find(self._name)
        return self._found

    def pids(self) -> Sequence[int]:
        """Raises UnreachableError."""
        pid = self.find().pid
        return () if pid is None else (pid,)

    @property
    def needs_a_shell(self) -> bool:
        """Whether it runs, but its files cannot be seen from here."""
        try:
            pid = self.find().pid
        except UnreachableError:
            return False  # which whoever asks `pids` is told
        if pid is None:
            return True
        try:
            os.close(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError:
            return True
        return False

    def shell_command(self) -> list[str]:
        """As its root, which reads and removes what workers of any user wrote. Raises UnreachableError."""
        return [self.find().engine, "exec", "-i", "-u", "0", self._name, "sh"]

    def pid_outside(self, pid: int) -> int | None:
        try:
            first = self.find().pid
        except UnreachableError:
            return None
        return None if first is None else pid_outside(first, pid)


def _line(command: Callable[[], Sequence[str]], directory: str, log: str | None, clock: Clock) -> Line:
    """Raises LineError."""
    try:
        argv = command()
    except UnreachableError as error:
        raise LineError(str(error), error.fix) from error
    except TargetError as error:
        raise LineError(error.message, error.hint) from error
    return Line(argv, script(), {"dir": directory, "log": log or ""}, clock)
