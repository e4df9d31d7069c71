"""Fetches what a triggered request left behind. Records and result files are hostile: names are checked by the record
parser, files are opened without following links, sizes are capped, and copies get names of our own."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from harness.model.span import ToolRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext

Wanted = Callable[[ToolRecord], bool]

RESULT_CAP_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_LOOK_BACK_BYTES = 4 * 1024 * 1024  # a record of a request that has just ended is near the end of its file
_POLL_S = 0.02


class RecordScanner:
    """Reads what is new in the records files of one run at each call. ``outside``: as in `AdapterContext.outside_pid`; a record
    of a process that is not known then has the process id 0. ``ahead_ns``: how far the clock of the writers is ahead of ours."""

    def __init__(
        self,
        work_dir: Path,
        pattern: str,
        outside: Callable[[int, int | None], int | None] | None = None,
        ahead_ns: int = 0,
    ) -> None:
        self._work_dir = work_dir
        self._outside = outside
        self._pattern = pattern
        self._ahead_ns = ahead_ns
        self._offsets: dict[Path, int] = {}

    def new_tool_records(self) -> list[ToolRecord]:
        """Tool records completed since the last call; lines still being written are left for the next one."""
        found: list[ToolRecord] = []
        for path in sorted(self._work_dir.glob(self._pattern)):
            try:
                stream = open_regular(path)
            except OSError:
                continue
            with stream:
                size = os.fstat(stream.fileno()).st_size
                offset = self._offsets.get(path, max(0, size - _LOOK_BACK_BYTES))  # a cut first line is no record
                stream.seek(offset)
                while offset < size and (chunk := stream.read(_CHUNK_BYTES)):
                    complete = chunk[: chunk.rfind(b"\n") + 1]
                    if not complete and len(chunk) < _CHUNK_BYTES:
                        break  # the writer is in the middle of a line
                    found += map(self._ours, _tool_records(complete))
                    offset += len(complete) or len(chunk)
                    stream.seek(offset)
            self._offsets[path] = offset
        return found

    def _ours(self, record: ToolRecord) -> ToolRecord:
        if self._outside is None:
            return record
        t_ns = record.t_ns - self._ahead_ns
        return replace(record, pid=self._outside(record.pid, t_ns) or 0, t_ns=t_ns)


def scanner(context: AdapterContext, pattern: str) -> RecordScanner:
    """Of the records of one place."""
    ahead_ns = 0 if context.away is None else context.away.ahead_ns
    return RecordScanner(context.work_dir, pattern, context.outside_pid, ahead_ns)


def open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """Open a file for reading; OSError for links, pipes, devices, directories, without ever waiting for one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


def _tool_records(data: bytes) -> list[ToolRecord]:
    lines = (line for line in data.split(b"\n") if b'"k":"tool"' in line)
    return [record for record in map(parse_record, lines) if isinstance(record, ToolRecord)]


def is_pending(record: ToolRecord) -> bool:
    """Whether it announces a result that a copy of the process is still working on."""
    return record.file is None and not record.error and record.values.get("pending") == 1


def wait_for(scanner: RecordScanner, wanted: Wanted, timeout_s: float) -> ToolRecord | None:
    """The first tool record that is ``wanted``, waiting at most ``timeout_s``; None when it did not come."""
    deadline = time.monotonic() + timeout_s
    while True:
        for record in scanner.new_tool_records():
            if wanted(record):
                return record
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)


def read_result(results_dir: Path, name: str, pid: int) -> bytes:
    """Content of a result file; ValueError with the reason when it is not a file that the worker can have written."""
    with _open_result(results_dir, name, pid) as stream:
        data = stream.read(RESULT_CAP_BYTES + 1)
    if len(data) > RESULT_CAP_BYTES:
        raise ValueError(f"the result is larger than {RESULT_CAP_BYTES // 1024**2} MiB")
    return data


def copy_result(results_dir: Path, name: str, pid: int, destination: Path, cap_bytes: int) -> os.stat_result:
    """Copy a result file that may be large; what it was like. ValueError as in `read_result`."""
    with _open_result(results_dir, name, pid) as stream:
        found = os.fstat(stream.fileno())
        if found.st_size > cap_bytes:
            raise ValueError(
                f"it has {found.st_size // 1024**2} MiB, and at most {cap_bytes // 1024**2} MiB are collected"
            )
        with destination.open("wb") as copy:
            left = cap_bytes
            while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
                copy.write(chunk)
                left -= len(chunk)
    return found


def _open_result(results_dir: Path, name: str, pid: int) -> BinaryIO:
    try:
        directory = os.open(results_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            stream = open_regular(name, directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ValueError(f"cannot open the result: {error.strerror}") from error
    found = os.fstat(stream.fileno())
    if found.st_nlink != 1:
        stream.close()
        raise ValueError("the result is a hard link to another file")
    if found.st_uid not in _owners(pid, found.st_uid):
        stream.close()
        raise ValueError(f"the result belongs to uid {found.st_uid}, which is neither the worker's nor ours")
    return stream


def _owners(pid: int, owner: int) -> set[int]:
    """Uids that may own a result of process ``pid``. A recycled worker cannot be asked any more; then the unguessable
    name has to do."""
    try:
        return {os.geteuid(), Path(f"/proc/{pid}").stat().st_uid}
    except OSError:
        return {os.geteuid(), owner}
