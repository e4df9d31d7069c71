"""Xdebug's files in a directory of this machine that the target can write to.

Xdebug holds an exclusive lock until it closes a file, and the response arrives before that (facts: with
``fastcgi_finish_request`` 700 ms later). A file is complete when a shared lock can be had and its end is there.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from adapters.php.xdebug.output_names import RefusedError, pid_in_name
from adapters.php.xdebug.outputs import HERE, LOG_TAIL_BYTES, NAMES_CAP, WAIT_S, Entry, Fetched, WallOffset
from adapters.php.xdebug.tools import XdebugTool
from harness.clock import Clock
from harness.model.profile import ArtifactStatus

QUIET_S = 2.0  # a file that nobody holds and that does not grow for so long has no writer any more
_STEP_S = 0.02
_COMPRESS_ABOVE_BYTES = 1 << 20
_TAIL_BYTES = 4096
_CHUNK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


class LocalOutputs:
    """See `adapters.php.xdebug.outputs.Outputs`. ``ours``: the directory was made for this run; in others the worker named in a
    file's name may own it too. ``log`` is the masters' access log."""

    def __init__(self, directory: Path, clock: Clock, *, ours: bool, log: Path | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._ours = ours
        self._log = log

    @property
    def label(self) -> str:
        return f"{self._directory.name}/"

    @property
    def trouble(self) -> str:
        try:
            os.close(os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            return f"cannot open {self.label}: {error.strerror}"
        return ""

    def entries(self) -> list[Entry]:
        found = []
        with suppress(OSError), os.scandir(self._directory) as listed:
            for entry in islice(listed, NAMES_CAP):
                with suppress(OSError):  # gone meanwhile
                    status = entry.stat(follow_symlinks=False)
                    found.append(Entry(entry.name, status.st_size, status.st_mtime_ns))
        return found

    def fetch(self, tool: XdebugTool, name: str, destination: Path, wait_s: float = WAIT_S) -> Fetched:
        try:
            with self._opened(tool, name) as file:
                complete = self._wait(tool, file, wait_s)
                before = os.fstat(file)
                path = keep_copy(file, destination, tool.cap_bytes)
                after = os.fstat(file)
        except FileNotFoundError:
            return Fetched(ArtifactStatus.MISSING, f"the {tool.kind} is not in {self.label}")
        except RefusedError as refusal:
            return Fetched(ArtifactStatus.REFUSED, str(refusal))
        except OSError as error:
            return Fetched(ArtifactStatus.MISSING, f"cannot read the {tool.kind}: {error.strerror}")
        if not complete:
            why = f"no {tool.end_is} after {wait_s:.0f} s: was the process killed, or is it still running?"
            return Fetched(ArtifactStatus.TRUNCATED, why, path, before.st_size)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            why = f"the {tool.kind} was written to after it was complete"
            return Fetched(ArtifactStatus.TRUNCATED, why, path, before.st_size)
        return Fetched(ArtifactStatus.COMPLETE, "", path, before.st_size)

    def remove(self, names: Iterable[str]) -> None:
        with suppress(OSError):
            parent = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for name in names:
                    with suppress(OSError):
                        os.unlink(name, dir_fd=parent)
            finally:
                os.close(parent)

    def free_bytes(self) -> int | None:
        try:
            there = os.statvfs(self._directory)
        except OSError:
            return None
        return there.f_bavail * there.f_frsize

    def log_tail(self) -> bytes:
        if self._log is None:
            return b""
        with suppress(OSError), _named(self._log) as named:
            if stat.S_ISREG(os.fstat(named).st_mode):
                with _for_reading(named) as file:
                    return os.pread(file, LOG_TAIL_BYTES, max(0, os.fstat(file).st_size - LOG_TAIL_BYTES))
        return b""

    def pid_outside(self, pid: int) -> int | None:
        return pid

    def wall_offset(self) -> WallOffset:
        return HERE

    @contextmanager
    def _opened(self, tool: XdebugTool, name: str) -> Iterator[int]:
        if "/" in name or name in {"", ".", ".."}:
            raise RefusedError(f"the {tool.kind} has no bare name")
        try:
            parent = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RefusedError(f"cannot open {self.label}: {error.strerror}") from error
        try:
            pid = None if self._ours else pid_in_name(tool, name)
            owners = _owners(os.fstat(parent).st_uid, None if pid is None else self.pid_outside(pid))
            with _named(name, os.O_NOFOLLOW, parent) as named:
                self._refuse(tool, os.fstat(named), owners)
                with _for_reading(named) as file:
                    yield file
        finally:
            os.close(parent)

    @staticmethod
    def _refuse(tool: XdebugTool, status: os.stat_result, owners: set[int]) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"the {tool.kind} is not an ordinary file")
        if status.st_uid not in owners:
            raise RefusedError(f"the {tool.kind} belongs to somebody else")
        if status.st_nlink != 1:
            raise RefusedError(f"the {tool.kind} is a second name of another file")

    def _wait(self, tool: XdebugTool, file: int, wait_s: float) -> bool:
        """Whether the file became complete in time. Raises RefusedError as soon as it is too large."""
        deadline_ns = self._clock.monotonic_ns() + int(wait_s * 1e9)
        looked_at, quiet_since_ns = -1, 0
        while True:
            size, now_ns = os.fstat(file).st_size, self._clock.monotonic_ns()
            if size > tool.cap_bytes:
                raise RefusedError(f"the {tool.kind} is larger than {tool.cap_bytes >> 20} MiB")
            if not _is_released(file):
                looked_at = -1
            elif size != looked_at:
                looked_at, quiet_since_ns = size, now_ns
                if has_end(tool, file, size):
                    return True
            elif now_ns - quiet_since_ns >= QUIET_S * 1e9:
                return False
            if now_ns >= deadline_ns:
                return False
            self._clock.sleep(_STEP_S)


def _owners(directory_uid: int, pid: int | None) -> set[int]:
    """Who may have written a file: the owner of the directory, we, or the worker named in a foreign deployment."""
    owners = {directory_uid, os.geteuid()}
    if pid is not None:
        with suppress(OSError):
            owners.add(Path(f"/proc/{pid}").stat().st_uid)
    return owners


@contextmanager
def _named(path: str | Path, flags: int = 0, parent: int | None = None) -> Iterator[int]:
    """What has this name, looked at without opening it: a device may do something when it is opened."""
    named = os.open(path, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=parent)
    try:
        yield named
    finally:
        os.close(named)


@contextmanager
def _for_reading(named: int) -> Iterator[int]:
    file = os.open(f"/proc/self/fd/{named}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _is_released(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False  # Xdebug still holds it
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def has_end(tool: XdebugTool, file: int, size: int) -> bool:
    """Whether a file of this size ends as a complete one does. RefusedError for one that unpacks to more than the cap."""
    packed = os.pread(file, 2, 0) == _GZIP
    tail = _gzip_tail(tool, file) if packed else os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    return bool(tail) if tool.end is None else tool.end.search(tail) is not None


def _gzip_tail(tool: XdebugTool, file: int) -> bytes:
    """The end of a compressed file, unpacked a little at a time; empty for a damaged one. RefusedError for a bomb."""
    unpack, tail, offset, unpacked = zlib.decompressobj(31), b"", 0, 0
    while not unpack.eof and (packed := os.pread(file, 1 << 16, offset)):
        offset += len(packed)
        while packed:
            try:
                part = unpack.decompress(packed, _CHUNK_BYTES)
            except zlib.error:
                return b""
            packed = unpack.unconsumed_tail
            unpacked += len(part)
            tail = (tail + part)[-_TAIL_BYTES:]
            if unpacked > tool.cap_bytes:
                raise RefusedError(f"the {tool.kind} unpacks to more than {tool.cap_bytes >> 20} MiB")
    return tail


def keep_copy(file: int, destination: Path, cap_bytes: int) -> Path:
    """Copy at most the cap, compressed when it is worth it; written under another name first."""
    size = os.fstat(file).st_size
    packed = os.pread(file, 2, 0) == _GZIP
    compress = size > _COMPRESS_ABOVE_BYTES and not packed
    path = destination.with_name(destination.name + ".gz") if compress or packed else destination
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with open(file, "rb", closefd=False) as source, open(temporary, "wb") as raw:
        source.seek(0)
        capped = _Capped(source, cap_bytes)
        if compress:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as target:
                shutil.copyfileobj(capped, target, _CHUNK_BYTES)
        else:
            shutil.copyfileobj(capped, raw, _CHUNK_BYTES)
    return temporary.replace(path)


class _Capped:
    """A reader that ends at the cap, whatever the file grows to meanwhile."""

    def __init__(self, source: BinaryIO, cap_bytes: int) -> None:
        self._source = source
        self._left = cap_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        return data
