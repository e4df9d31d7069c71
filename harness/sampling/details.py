"""What a process says about itself besides its memory: name, command line, owner, high-water mark, open files."""

from __future__ import annotations

import time

from .missing import MissingSignals
from .protocol import process_line
from .reading import GONE, process_directory, why
from .redact import RAW_CAP_BYTES, command_line, process_name
from .sources import pid_cmdline, pid_fd, pid_status
from .sources.numbers import TICK_NS
from .sources.pid_status import PidStatus
from .tree import Followed

UNKNOWN_STATUS = PidStatus(None, None, None)


def boot_on_monotonic_ns() -> int:
    """CLOCK_MONOTONIC at boot: 0, or minus the time spent suspended. Start times count from boot, suspension included.

    To the ms, so that the time between reading the two clocks does not show.
    """
    return round(time.monotonic_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME), -6)


class Details:
    """Readers of one process's files that turn every failure into None, and into a missing signal where it is not normal."""

    def __init__(self, mount: str, missing: MissingSignals) -> None:
        self._mount = mount
        self._missing = missing
        self._fds_by_size = pid_fd.size_is_count(mount)

    def status(self, process: Followed) -> PidStatus:
        """All None when it cannot be read."""
        try:
            return pid_status.parse(process.files.status.read())
        except OSError as error:
            self._failed(error, process.who.pid, "process.memory.hwm", "/status")
            return UNKNOWN_STATUS

    def open_files(self, pid: int) -> int | None:
        """How many."""
        try:
            return pid_fd.read(self._mount, pid, self._fds_by_size)
        except OSError as error:
            self._failed(error, pid, "process.fds", "/fd")
            return None

    def introduction(self, process: Followed, uid: int | None, now_ns: int) -> bytes | None:
        """The line that says who a process is, if that is new or has changed; ``uid`` None = not read this time."""
        command = self._command(process)
        uid = process.uid if uid is None else uid
        stat = process.stat
        now = (stat.comm, command, uid)
        changed = now != (process.comm, process.command, process.uid)
        process.comm, process.command, process.uid = now
        process.image = stat.image
        if not changed:
            return None
        born_ns = boot_on_monotonic_ns() + stat.start_ticks * TICK_NS
        return process_line(
            process.who, process.ppid, process_name(stat.comm), command, uid, process.pool, born_ns, now_ns
        )  # fmt: skip

    def _command(self, process: Followed) -> str:
        """Redacting takes ten times as long as reading, and is done only for what is new."""
        try:
            raw = process.files.cmdline.read()[:RAW_CAP_BYTES]
        except OSError:
            return process.command  # only on its way out
        if raw == process.raw_command:
            return process.command
        process.raw_command = raw
        return command_line(pid_cmdline.parse(raw)) or process.command

    def _failed(self, error: OSError, pid: int, signal: str, name: str) -> None:
        if error.errno not in GONE:
            self._missing.say(signal, why(error, process_directory(self._mount, pid) + name))
