"""Bytes of another process: ``/proc/PID/mem`` for stretches, process_vm_readv(2) for many small pieces in one call.

Reading leaves Rss, Pss and the referenced bits of the target as they are, but a page that was never touched shows as present
in pagemap afterwards (the zero page), and a page in swap comes back in: callers leave walks out while a process is swapped.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Sequence, Tuple

from ..reading import GONE, process_directory
from .refusal import Torn, Unreadable

LARGEST_READ_BYTES = 64 << 20  # nobody asks for more at once; a torn length must not exhaust our own memory
_PIECES = 1024  # IOV_MAX
_LIBC = ctypes.CDLL(None, use_errno=True)


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
        self._pid = pid
        path = process_directory(mount, pid) + "/mem"
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in GONE:
                raise Unreadable("the process has gone") from error
            raise Unreadable(
                "no permission to read {}; needs root (CAP_SYS_PTRACE), or the same user and a process that is dumpable".format(
                    path
                )
            ) from error
        self._vectored = mount == "/proc"  # process_vm_readv takes the pids of our own namespace

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
                raise Unreadable("the process has gone or executed another program")
            raise Torn("short read at {:#x}".format(address))
        return data

    def scatter(self, addresses: Sequence[int], size: int) -> bytes:
        if not self._vectored:
            return super().scatter(addresses, size)
        out = bytearray()
        position = 0
        while position < len(addresses):
            part = addresses[position : position + _PIECES]
            read = self._read_pieces(part, size, out)
            if read is None:
                self._vectored = False
                return bytes(out) + super().scatter(addresses[position:], size)
            position += read
            if read < len(part):  # the call stops at the first address that is not there
                out += bytes(size)
                position += 1
        return bytes(out)

    def _read_pieces(self, addresses: Sequence[int], size: int, out: bytearray) -> int | None:
        """Append what one call reads to ``out``; the number of whole pieces, None when the call is not to be had."""
        count = len(addresses)
        buffer = ctypes.create_string_buffer(count * size)
        local = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), count * size)
        remote = (ctypes.c_uint64 * (2 * count))()
        remote[0::2] = list(addresses)
        remote[1::2] = [size] * count
        done = _LIBC.process_vm_readv(
            self._pid, local, ctypes.c_ulong(1), remote, ctypes.c_ulong(count), ctypes.c_ulong(0)
        )
        if done < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.ESRCH):
            return None
        whole = max(int(done), 0) // size
        out += memoryview(buffer)[: whole * size]
        return whole


def _failure(error: OSError, address: int) -> Torn | Unreadable:
    if error.errno in GONE:
        return Unreadable("the process has gone")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unreadable("its memory may not be read (any more)")
    return Torn("nothing to read at {:#x}".format(address))
