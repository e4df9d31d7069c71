"""Opens paths below another root directory, as a process with that root would, whatever links somebody put there.

A link can never lead out: absolute targets and ``..`` end at that root. The kernel does it (openat2(2), RESOLVE_IN_ROOT,
Linux 5.6); where it has not that, or a filter forbids it, the path is walked one name at a time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from typing import ClassVar

_SYS_OPENAT2 = 437  # the same number on every architecture that Linux got since 5.1 but alpha
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_MOST_LINKS = 40
_RETRIES = 16
_NAME_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_: ClassVar = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_below(root: int, path: str, flags: int) -> int:
    """Open ``path`` with ``root`` (a directory's descriptor) as root directory; never creates. Raises OSError."""
    try:
        return by_kernel(root, path, flags)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EPERM}:
            raise
    return by_walk(root, path, flags)


def by_kernel(root: int, path: str, flags: int) -> int:
    """With openat2. OSError: ENOSYS where there is none, EPERM where a filter forbids it, else what the path deserves."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_RETRIES):
        descriptor = int(
            _libc.syscall(
                ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root), ctypes.c_char_p(_encoded(path)), ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        )  # fmt: skip
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code not in {errno.EAGAIN, errno.EINTR}:  # EAGAIN: something was renamed meanwhile
            raise OSError(code, os.strerror(code), path)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def by_walk(root: int, path: str, flags: int) -> int:
    """The same without openat2. What is open already cannot be moved from under us, so ``..`` goes back along it. Links of /proc
    that lead elsewhere than their text says are taken by their text, and so end below the root too."""
    todo = _parts(_encoded(path))
    trail = [os.dup(root)]  # the root, and every directory on the way
    links = 0
    try:
        while todo:
            part = todo.pop()
            if part == b".":
                continue
            if part == b"..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            found = os.open(part, _NAME_FLAGS, dir_fd=trail[-1])
            mode = os.fstat(found).st_mode
            if stat.S_ISLNK(mode):
                try:
                    target = os.readlink(b"", dir_fd=found)
                finally:
                    os.close(found)
                links += 1
                if links > _MOST_LINKS or (not todo and flags & os.O_NOFOLLOW):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target.startswith(b"/"):
                    while len(trail) > 1:
                        os.close(trail.pop())
                todo += _parts(target)
                continue
            trail.append(found)
            if todo and not stat.S_ISDIR(mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        # O_PATH descriptors are opened for real by their link in /proc, which is ours and leads to this very file.
        return os.open(f"/proc/self/fd/{trail[-1]}", (flags & ~os.O_NOFOLLOW) | os.O_CLOEXEC)
    finally:
        for descriptor in trail:
            os.close(descriptor)


def _parts(path: bytes) -> list[bytes]:
    """The names of a path, the last first. A slash at the end asks for a directory, as "." does."""
    return [part for part in (path + b"." if path.endswith(b"/") else path).split(b"/") if part][::-1]


def _encoded(path: str) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded or not encoded:
        code = errno.EINVAL if encoded else errno.ENOENT
        raise OSError(code, os.strerror(code), path)
    return encoded
