"""Fetch the profile one request left behind, from a directory the target can write to.

Nothing in there is trusted: only a bare name of the expected form is looked up, links and special files are never opened, the
owner and the size are checked, and the copy gets a name of our own.

Xdebug holds an exclusive lock until it closes the file, and the response arrives before that; a profile is complete when
a shared lock can be had and the summary line is there (facts: with ``fastcgi_finish_request`` 700 ms later).
"""

from __future__ import annotations

import fcntl
import gzip
import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from harness.clock import Clock
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import ProfiledResponse, Trigger

SIZE_CAP_BYTES = 512 << 20
WAIT_S = 20.0
_STEP_S = 0.02
_COMPRESS_ABOVE_BYTES = 1 << 20
_TAIL_BYTES = 4096
_HEADER_CAP = 4096
_SCRIPT_FILES_CAP = 8
_OURS = re.compile(
    r"cachegrind\.out\.(?P<pid>[0-9]{1,10})\.(?P<seconds>[0-9]{1,12})\.(?P<micros>[0-9]{6})\.[0-9a-f]{6}(?:\.gz)?\Z"
)
_THEIRS = re.compile(r"cachegrind\.out\.[A-Za-z0-9._%+-]{1,200}\Z")
_NAMED_PID = re.compile(r"cachegrind\.out\.([0-9]{1,10})(?:\.|\Z)")
_SUMMARY = re.compile(rb"(?:\A|\n)summary: [0-9]+(?: [0-9]+)?\s*\Z")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Collected:
    """One fetched profile. ``path`` is the copy, None when there is none; ``size_bytes`` is its size unpacked."""

    status: ArtifactStatus
    detail: str
    path: Path | None = None
    pid: int | None = None
    size_bytes: int | None = None


class RefusedError(Exception):
    """The file must not be read; the text says why."""


def name_from_header(header: str, *, ours: bool) -> str:
    """The file's bare name. The header is a hostile path: everything but its last part is ignored. Raises RefusedError."""
    name = PurePosixPath(header[:_HEADER_CAP]).name
    if not (_OURS if ours else _THEIRS).match(name):
        raise RefusedError(f"the response names a profile {name[:120]!r}, which is not a name Xdebug was told to use")
    return name


def pid_in_name(name: str) -> int | None:
    """The worker's pid, which the recommended output name begins with."""
    match = _NAMED_PID.match(name)
    return int(match[1]) if match else None


def started_between(directory: Path, from_wall_ns: int, to_wall_ns: int) -> list[str]:
    """Names of profiles in our own directory that began in this window; the name carries the start time in us."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    found = []
    for name in names:
        match = _OURS.match(name)
        if match is not None:
            started_ns = (int(match["seconds"]) * 1_000_000 + int(match["micros"])) * 1000
            if from_wall_ns - 1000 <= started_ns <= to_wall_ns:
                found.append(name)
    return sorted(found)


def fetch(
    directory: Path, name: str, destination: Path, clock: Clock, *, ours: bool, wait_s: float = WAIT_S
) -> Collected:
    """Wait until ``directory/name`` is complete and copy it to ``destination`` (".gz" is added when it gets compressed).

    A file that stays incomplete is copied as far as it goes and called TRUNCATED. Never raises for what the target did.
    """
    pid = pid_in_name(name)
    deadline_ns = clock.monotonic_ns() + int(wait_s * 1e9)
    try:
        with _opened(directory, name, ours=ours, pid=pid) as file:
            complete = False
            while not (complete := _is_complete(file)) and clock.monotonic_ns() < deadline_ns:
                clock.sleep(_STEP_S)
            if os.fstat(file).st_size > SIZE_CAP_BYTES:
                raise RefusedError(f"the profile is larger than {SIZE_CAP_BYTES >> 20} MiB")
            path = _copy(file, destination)
            size = os.fstat(file).st_size
    except FileNotFoundError:
        return Collected(ArtifactStatus.MISSING, f"the profile is not in {directory.name}/", pid=pid)
    except RefusedError as refusal:
        return Collected(ArtifactStatus.REFUSED, str(refusal), pid=pid)
    except OSError as error:
        return Collected(ArtifactStatus.MISSING, f"cannot read the profile: {error.strerror}", pid=pid)
    if complete:
        return Collected(ArtifactStatus.COMPLETE, "", path, pid, size)
    why = f"no summary line after {wait_s:.0f} s: was the worker killed, or is it still running?"
    return Collected(ArtifactStatus.TRUNCATED, why, path, pid, size)


@contextmanager
def _opened(directory: Path, name: str, *, ours: bool, pid: int | None) -> Iterator[int]:
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(f"cannot open the profiles' directory: {error.strerror}") from error
    try:
        owners = _owners(os.fstat(parent).st_uid, None if ours else pid)
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except FileNotFoundError:
            raise
        except OSError as error:  # ELOOP: a symbolic link; ENXIO: a socket
            raise RefusedError(f"the profile is not an ordinary file ({error.strerror})") from error
    finally:
        os.close(parent)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("the profile is not an ordinary file")
        if status.st_uid not in owners:
            raise RefusedError("the profile belongs to somebody else")
        if status.st_nlink != 1:
            raise RefusedError("the profile is a second name of another file")
        yield file
    finally:
        os.close(file)


def _owners(directory_uid: int, pid: int | None) -> set[int]:
    """Who may have written a profile: the owner of the directory, we, or the worker named in a foreign deployment."""
    owners = {directory_uid, os.geteuid()}
    if pid is not None:
        with suppress(OSError):
            owners.add(Path(f"/proc/{pid}").stat().st_uid)
    return owners


def _is_complete(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False  # Xdebug still holds it
    fcntl.flock(file, fcntl.LOCK_UN)
    size = os.fstat(file).st_size
    tail = (
        _gzip_tail(file) if os.pread(file, 2, 0) == _GZIP else os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    )
    return _SUMMARY.search(tail) is not None


def _gzip_tail(file: int) -> bytes:
    """The end of a compressed profile; at most `SIZE_CAP_BYTES` are unpacked, a little at a time."""
    unpack, tail, offset, unpacked = zlib.decompressobj(31), b"", 0, 0
    while (packed := os.pread(file, 1 << 16, offset)) and unpacked <= SIZE_CAP_BYTES:
        offset += len(packed)
        while packed:
            try:
                part = unpack.decompress(packed, 1 << 20)
            except zlib.error:
                return b""
            packed = unpack.unconsumed_tail
            unpacked += len(part)
            tail = (tail + part)[-_TAIL_BYTES:]
            if unpacked > SIZE_CAP_BYTES:
                break
    return tail


def _copy(file: int, destination: Path) -> Path:
    """Copy at most the cap, compressed when it is worth it; written under another name first."""
    size = os.fstat(file).st_size
    packed = os.pread(file, 2, 0) == _GZIP
    compress = size > _COMPRESS_ABOVE_BYTES and not packed
    path = destination.with_name(destination.name + ".gz") if compress or packed else destination
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with open(file, "rb", closefd=False) as source, open(temporary, "wb") as raw:
        source.seek(0)
        if compress:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as target:
                shutil.copyfileobj(_Capped(source), target, 1 << 20)
        else:
            shutil.copyfileobj(_Capped(source), raw, 1 << 20)
    return temporary.replace(path)


class _Capped:
    """A reader that ends at the cap, whatever the file grows to meanwhile."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = SIZE_CAP_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        return data


class Collector:
    """Turns what one triggered request (or script) left behind into artifacts.

    ``own`` is this run's profiles directory; ``deployed`` the output directory of a foreign Xdebug, used instead when given.
    """

    def __init__(self, adapter: str, own: Path, deployed: Path | None, clock: Clock) -> None:
        self._adapter = adapter
        self._ours = deployed is None
        self._directory = deployed or own
        self._clock = clock

    def collect(self, trigger: Trigger, response: ProfiledResponse, destination: Path) -> list[Artifact]:
        """One artifact for a request; for a script one for each PHP process that wrote a profile."""
        if trigger.argv is None and not trigger.cookies:
            why = "Xdebug cannot be reached: use target.php.serve, or name a deployed one in target.php.xdebug"
            return [self._artifact(trigger.tool, response, Collected(ArtifactStatus.MISSING, why), destination, "")]
        header = response.headers.get("x-xdebug-profile-filename")
        try:
            if header is not None and trigger.argv is None:
                names, found_by = [name_from_header(header, ours=self._ours)], "header"
            else:
                names, found_by = self._by_time(response, several=trigger.argv is not None), "time"
        except RefusedError as refusal:
            found = Collected(ArtifactStatus.REFUSED, str(refusal))
            return [self._artifact(trigger.tool, response, found, destination, "header")]
        except LookupError as problem:
            found = Collected(ArtifactStatus.MISSING, str(problem.args[0]))
            return [self._artifact(trigger.tool, response, found, destination, "time")]
        artifacts = []
        for number, name in enumerate(names):
            copy = destination / copy_name(trigger.tool, response, number)
            found = fetch(self._directory, name, copy, self._clock, ours=self._ours)
            artifacts.append(self._artifact(trigger.tool, response, found, destination, found_by))
        if self._ours:
            self._tidy(response)
        return artifacts

    def _by_time(self, response: ProfiledResponse, *, several: bool) -> list[str]:
        """Without the header (the application removed it, or a script ran). Raises LookupError with the reason."""
        status = "no response" if response.status is None else f"status {response.status}"
        if not self._ours:
            raise LookupError(f"the response ({status}) has no X-Xdebug-Profile-Filename header: is the secret right?")
        to_wall = self._clock.wall_ns() - self._clock.monotonic_ns()
        names = started_between(self._directory, response.start_ns + to_wall, response.end_ns + to_wall)
        if not names:
            raise LookupError(f"Xdebug wrote no profile for this ({status})")
        if len(names) > 1 and not several:
            raise LookupError(
                f"the response has no X-Xdebug-Profile-Filename header, and {len(names)} profiles began meanwhile"
            )
        return names[:_SCRIPT_FILES_CAP]

    def _tidy(self, response: ProfiledResponse) -> None:
        """Remove this run's profiles up to this request, warm-ups included: one can have hundreds of MB."""
        to_wall = self._clock.wall_ns() - self._clock.monotonic_ns()
        for name in started_between(self._directory, 0, response.end_ns + to_wall):
            with suppress(OSError):
                (self._directory / name).unlink()

    def _artifact(
        self, tool: str, response: ProfiledResponse, found: Collected, destination: Path, found_by: str
    ) -> Artifact:
        return Artifact(
            tool=tool,
            adapter=self._adapter,
            path=None if found.path is None else str(found.path.relative_to(destination)),
            status=found.status,
            span_id=response.span_id or None,
            endpoint=response.endpoint,
            pid=found.pid,
            t_ns=response.end_ns,
            size_bytes=found.size_bytes,
            detail=found.detail,
            attributes={"found_by": found_by or None},
        )


def copy_name(tool: str, response: ProfiledResponse, number: int) -> str:
    """A name of our own: tool, endpoint in harmless letters, span, and a number from the second profile on."""
    endpoint = re.sub(r"[^a-z0-9]+", "-", response.endpoint.lower()).strip("-")[:40] or "request"
    which = f"-{number + 1}" if number else ""
    return f"{tool}-{endpoint}-{response.span_id or response.start_ns}{which}.cachegrind"
