"""The only place that opens files below the mount point, and the words for why one could not be read."""

from __future__ import annotations

import errno
import os
import resource

_CHUNK = 1 << 16
DEFAULT_CAP_BYTES = 1 << 22
_MOST_FILES = 1 << 15

GONE = frozenset((errno.ENOENT, errno.ESRCH))  # what a process that ended mid-read looks like
_REASONS = {
    errno.ENOENT: "this kernel does not have {path}",
    errno.EACCES: "no permission to read {path}",
    errno.EPERM: "no permission to read {path}",
    errno.EOPNOTSUPP: "{path} exists but is turned off",
    errno.EMFILE: "too many files are open to read {path}; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this host to read {path}",
}


def read_file(path: str, cap_bytes: int = DEFAULT_CAP_BYTES) -> bytes:
    """All bytes of a kernel file, at most ``cap_bytes``. Raises OSError.

    Kernel files have no size and may return less than asked for, so this reads until end of file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, min(_CHUNK, cap_bytes))
        size = len(data)
        chunks = [data]
        while data and size < cap_bytes:
            data = os.read(descriptor, min(_CHUNK, cap_bytes - size))
            size += len(data)
            chunks.append(data)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _descriptors_to_keep() -> int:
    """Half of what this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (soft if soft != resource.RLIM_INFINITY else 1 << 20) // 2


class Kept:
    """A file that the kernel answers in one piece (``/proc/PID/stat``, not ``maps``), held open for reading again and again:
    that takes less than half the time of opening it anew, and can never be another process's file under a reused pid.

    Where too many are open already, or ``keep`` is false, it is opened each time.
    """

    __slots__ = ("_descriptor", "_keep", "_path")
    _left = _descriptors_to_keep()

    def __init__(self, path: str, keep: bool) -> None:
        self._path = path
        self._keep = keep
        self._descriptor = -1

    def read(self) -> bytes:
        """What it says now. Raises OSError: ESRCH once the process is gone."""
        if self._descriptor < 0:
            if not self._keep or Kept._left <= 0:
                return read_file(self._path, _CHUNK)
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            Kept._left -= 1
        return os.pread(self._descriptor, _CHUNK, 0)

    def close(self) -> None:
        """Let go; reading opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            Kept._left += 1


def allow_many_files() -> None:
    """Open as many files as the hard limit allows: up to four for each process that is followed. The usual 1024 of the soft
    limit would leave the runtimes of the 500th process and those after it unread."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        Kept._left += (wanted - soft) // 2


def is_own_proc(mount: str) -> bool:
    """Whether this is the procfs of our own pid namespace, and not a copy of one or another host's."""
    try:
        return os.readlink(mount + "/self") == str(os.getpid())
    except OSError:
        return False


def why(error: OSError, path: str) -> str:
    """A sentence for people: why ``path`` could not be read."""
    template = _REASONS.get(error.errno or 0)
    if template is not None:
        return template.format(path=path)
    return "{} could not be read: {}".format(path, error.strerror or type(error).__name__)


class ProcessFiles:
    """The files of one process that are read again and again."""

    __slots__ = ("cmdline", "stat", "status")

    def __init__(self, mount: str, pid: int, keep: bool) -> None:
        directory = process_directory(mount, pid)
        self.stat = Kept(directory + "/stat", keep)
        self.status = Kept(directory + "/status", keep)
        self.cmdline = Kept(directory + "/cmdline", keep)

    def close(self) -> None:
        """Let go of all."""
        self.stat.close()
        self.status.close()
        self.cmdline.close()


def absent(reason: str) -> bool:
    """Whether a reason given by `why` means that the kernel has no such file: which is a fact, where it is about a setting."""
    return reason.startswith("this kernel does not have ")


def process_directory(mount: str, pid: int) -> str:
    """``/proc/PID`` below any mount point."""
    return "{}/{}".format(mount, pid)
