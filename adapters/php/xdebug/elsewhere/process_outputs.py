"""Xdebug's files below ``/proc/PID/root``: in the PrivateTmp of a service, or in a container, if we may look into it.

What is there is made by the target, links included, so no path of it is ever opened but by `rooted`. Processes are looked for
anew each time: a service that was restarted has a new file system.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.php.xdebug.elsewhere.place import Place, UnreachableError
from adapters.php.xdebug.elsewhere.rooted import open_below
from adapters.php.xdebug.elsewhere.seen_processes import PROC, pid_outside
from adapters.php.xdebug.local_outputs import LocalOutputs
from adapters.php.xdebug.outputs import HERE, WAIT_S, Entry, Fetched, WallOffset
from adapters.php.xdebug.tools import XdebugTool
from harness.clock import Clock
from harness.model.profile import ArtifactStatus

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _View:
    """One process and the output directory as it sees it, both open."""

    pid: int
    root: int
    directory: int

    @property
    def identity(self) -> tuple[int, int]:
        status = os.fstat(self.directory)
        return status.st_dev, status.st_ino

    def close(self) -> None:
        os.close(self.directory)
        os.close(self.root)


class ProcessOutputs:
    """See `adapters.php.xdebug.outputs.Outputs`. ``find`` gives the pids to look through, and raises UnreachableError;
    ``directory`` and ``log`` are paths as those processes have them."""

    def __init__(
        self, place: Place, find: Callable[[], Sequence[int]], directory: str, log: str | None, clock: Clock
    ) -> None:
        self._place = place
        self._find = find
        self._path = directory
        self._log = log
        self._clock = clock
        self._trouble = ""

    @property
    def label(self) -> str:
        return f"{self._path} in {self._place}"

    @property
    def trouble(self) -> str:
        return self._trouble

    def entries(self) -> Sequence[Entry]:
        with self._local() as local:
            return () if local is None else local.entries()

    def fetch(self, tool: XdebugTool, name: str, destination: Path, wait_s: float = WAIT_S) -> Fetched:
        with self._local() as local:
            if local is None:
                return Fetched(ArtifactStatus.MISSING, self._trouble)
            return local.fetch(tool, name, destination, wait_s)

    def remove(self, names: Iterable[str]) -> None:
        with self._local() as local:
            if local is not None:
                local.remove(names)

    def free_bytes(self) -> int | None:
        with self._local() as local:
            return None if local is None else local.free_bytes()

    def log_tail(self) -> bytes:
        with self._local() as local:
            return b"" if local is None else local.log_tail()

    def pid_outside(self, pid: int) -> int | None:
        with self._local() as local:
            return None if local is None else local.pid_outside(pid)

    def wall_offset(self) -> WallOffset:
        return HERE

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def check(self) -> tuple[bool, bool]:
        """Whether we may remove what is in the directory, and whether the log, if one is named, can be read. Raises
        UnreachableError where the directory cannot be looked into."""
        with ExitStack() as open_files:
            view = open_files.enter_context(self._view())
            log = self._open_log(view, open_files)
            readable = self._log is None or (log is not None and os.access(f"/proc/self/fd/{log}", os.R_OK))
            return os.access(f"/proc/self/fd/{view.directory}", os.W_OK | os.X_OK), readable

    @contextmanager
    def _local(self) -> Iterator[LocalOutputs | None]:
        """The directory as one of ours, for as long as this lasts; None when it cannot be had, and `trouble` tells."""
        with ExitStack() as open_files:
            try:
                view = open_files.enter_context(self._view())
            except UnreachableError as error:
                self._trouble = str(error)
                yield None
                return
            self._trouble = ""
            yield _SeenOutputs(self.label, view, self._open_log(view, open_files), self._clock)

    def _open_log(self, view: _View, open_files: ExitStack) -> int | None:
        """Only a plain file: others may do something when they are opened, or never open."""
        if self._log is None:
            return None
        try:
            log = open_below(view.root, self._log, os.O_PATH)
        except OSError:
            return None
        open_files.callback(os.close, log)
        return log if stat.S_ISREG(os.fstat(log).st_mode) else None

    @contextmanager
    def _view(self) -> Iterator[_View]:
        """The output directory, if all the processes that have one mean the same. Raises UnreachableError."""
        chosen, others, reason = self._choose()
        if chosen is None:
            raise reason or UnreachableError(
                f"there is no process of {self._place}",
                "is it running? target.php.xdebug.process must be part of a command line as `ps -ef` shows it",
            )
        try:
            if others:
                raise UnreachableError(
                    f"{self._place}: {self._path} is another directory for pid {others[0]} than for pid {chosen.pid}",
                    "give more of the command line in target.php.xdebug.process",
                )
            yield chosen
        finally:
            chosen.close()

    def _choose(self) -> tuple[_View | None, list[int], UnreachableError | None]:
        """The first view; pids that have another directory; and why there was none for the first process that has none."""
        chosen: _View | None = None
        others: list[int] = []
        reason: UnreachableError | None = None
        for pid in self._find():
            try:
                view = _look_through(pid, self._path, self._place)
            except UnreachableError as error:
                reason = reason or error
                continue
            if chosen is None:
                chosen = view
                continue
            if view.identity != chosen.identity:
                others.append(pid)
            view.close()
        return chosen, others, reason


class _SeenOutputs(LocalOutputs):
    """An open directory of another place; the names in ``/proc/self/fd`` are ours and lead to what was opened."""

    def __init__(self, label: str, view: _View, log: int | None, clock: Clock) -> None:
        at = Path("/proc/self/fd")
        super().__init__(at / str(view.directory), clock, ours=False, log=None if log is None else at / str(log))
        self._label = label
        self._pid = view.pid

    @property
    def label(self) -> str:
        return self._label

    def pid_outside(self, pid: int) -> int | None:
        return pid_outside(self._pid, pid)


def _look_through(pid: int, path: str, place: Place) -> _View:
    """Raises UnreachableError."""
    try:
        root = os.open(PROC / str(pid) / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise UnreachableError(
            f"the file system of pid {pid} may not be looked into",
            "run the harness as root, or as the user of that process",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"pid {pid} of {place} ended", "is it restarted all the time? look at its log"
        ) from error
    try:
        return _View(pid, root, open_below(root, path, _DIRECTORY))
    except PermissionError as error:
        os.close(root)
        raise UnreachableError(
            f"{path} in {place} may not be read", "run the harness as root, or as the user of that process"
        ) from error
    except OSError as error:
        os.close(root)
        raise UnreachableError(
            f"there is no directory {path} in {place} ({error.strerror})",
            "target.php.xdebug.output_dir must be xdebug.output_dir of those masters, as they see it",
        ) from error
