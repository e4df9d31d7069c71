"""Bytes of another process, from ``/proc/PID/mem``.

Never by process_vm_readv(2), though one call of it reads many pieces: since Linux 5.19 it unshares what it reads. Anonymous
pages that a fork shares are pinned by it, and the kernel makes a private copy of each first (gup_must_unshare(), mm/gup.c), so
that looking at pre-forked workers would make them grow. Reading through ``mem`` takes no pin and leaves them shared.

Reading leaves Rss, Pss and the referenced bits of the target as they are, but a page that was never touched shows as present
in pagemap afterwards (the zero page), and a page in swap comes back in: callers leave walks out while a process is swapped.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Sequence, Tuple

from ..reading import GONE, process_directory, why
from .refusal import Gone, Torn, Unreadable

LARGEST_READ_BYTES = 64 << 20  # nobody asks for more at once; a torn length must not exhaust our own memory


class Memory:
    """Read-only view of one process's address space. Addresses and sizes are bytes; words are unsigned, 64 bit."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises Torn when some are not there (any more)."""
        raise NotImplementedError

    def scatter(self, addresses: Sequence[int], size: int) -> bytes:
        """``size`` bytes from every address, one behind the other; zeros for an address that cannot be read."""
        pieces = []
        for address in addresses:
            try:
                pieces.append(self.read(address, size))
            except Torn:
                pieces.append(bytes(size))
        return b"".join(pieces)

    def words(self, address: int, count: int) -> Tuple[int, ...]:
        """Raises Torn."""
        return struct.unpack("<{}Q".format(count), self.read(address, 8 * count))

    def word(self, address: int) -> int:
        """Raises Torn."""
        return int.from_bytes(self.read(address, 8), "little")


class ProcessMemory(Memory):
    """The memory of a living process, through a descriptor that stays valid and reads nothing once the process executes
    another program. Raises Unreadable when it may not be opened."""

    def __init__(self, mount: str, pid: int) -> None:
        path = process_directory(mount, pid) + "/mem"
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in GONE:
                raise Gone from error
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise Unreadable(why(error, path)) from error
            raise Unreadable(
                "no permission to read {}; needs root (CAP_SYS_PTRACE), or the same user and a process that is dumpable".format(
                    path
                )
            ) from error

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def read(self, address: int, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ_BYTES or not 0 <= address < 1 << 63:
            raise Torn("{} bytes at {:#x} are out of range".format(size, address))
        try:
            data = os.pread(self._descriptor, size, address)
        except OSError as error:
            raise _failure(error, address) from error
        if len(data) != size:
            if not data and size:
                raise Gone
            raise Torn("short read at {:#x}".format(address))
        return data

    def scatter(self, addresses: Sequence[int], size: int) -> bytes:
        pread, descriptor = os.pread, self._descriptor
        pieces = []
        for address in addresses:
            try:
                piece = pread(descriptor, size, address)
            except (OSError, OverflowError):
                piece = bytes(size)
            if len(piece) != size:
                if not piece:
                    raise Gone
                piece = bytes(size)
            pieces.append(piece)
        return b"".join(pieces)


def _failure(error: OSError, address: int) -> Torn | Unreadable:
    if error.errno in GONE:
        return Gone()
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unreadable("its memory may not be read (any more)")
    return Torn("nothing to read at {:#x}".format(address))
