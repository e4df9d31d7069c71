"""What the kernel says of a process at its exit (CONFIG_TASKSTATS, CONFIG_TASK_XACCT): high-water mark, faults, CPU time.

The last word on a worker that was recycled, and the only one on a process that came and went between two sweeps. Needs root
(CAP_NET_ADMIN) in the host's own network namespace.

Sources: Documentation/accounting/taskstats.rst, include/uapi/linux/taskstats.h (offsets hold since version 8 of the struct,
Linux 2.6.33; later versions append).
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Dict, Iterator, NamedTuple, Tuple

from .numbers import bounded

_NETLINK_GENERIC, _CONTROL_ID, _CONTROL_GET_FAMILY = 16, 16, 3
_FAMILY_ID_ATTRIBUTE, _FAMILY_NAME_ATTRIBUTE = 1, 2
_GET, _REGISTER_CPUMASK = 1, 3
_AGGREGATE_PID, _STATS = 4, 3
_ERROR, _DONE = 2, 3
_REQUEST = 1
_SMALLEST_VERSION = 8
_COMM, _UID, _PID, _UTIME, _HIWATER_RSS = slice(80, 112), 120, 128, 152, 200
_SMALLEST = 216
_LARGEST = 1 << 14
_BUFFER_BYTES = 1 << 20
MOST_AT_ONCE = 20_000


class ExitStats(NamedTuple):
    """The account of one task at its exit; the leader's id is the process's pid."""

    pid: int
    comm: bytes
    uid: int
    hwm_bytes: int | None  # None: it had no memory of its own any more
    cpu_ns: int | None  # of this task alone
    minor_faults: int | None  # the same
    major_faults: int | None


def parse(data: bytes) -> ExitStats | None:
    """One generic netlink message; None when it is not the account of a task."""
    for kind, body in _attributes(data[20:]):
        if kind == _AGGREGATE_PID:
            for inner, stats in _attributes(body):
                if inner == _STATS:
                    return _account(stats)
    return None


def _account(stats: bytes) -> ExitStats | None:
    if len(stats) < _SMALLEST or struct.unpack_from("<H", stats)[0] < _SMALLEST_VERSION:
        return None
    utime_us, stime_us, minor, major = struct.unpack_from("<4Q", stats, _UTIME)
    kilobytes = struct.unpack_from("<Q", stats, _HIWATER_RSS)[0]
    return ExitStats(
        pid=struct.unpack_from("<I", stats, _PID)[0],
        comm=stats[_COMM].split(b"\0")[0],
        uid=struct.unpack_from("<I", stats, _UID)[0],
        hwm_bytes=bounded(kilobytes * 1024) if kilobytes else None,
        cpu_ns=bounded((utime_us + stime_us) * 1000),
        minor_faults=bounded(minor),
        major_faults=bounded(major),
    )


def _attributes(data: bytes) -> Iterator[Tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, position)
        if length < 4:
            return
        yield kind, data[position + 4 : position + length]
        position += (length + 3) & -4


class Accounts:
    """The subscription to all exits on this host. Raises OSError when it is not to be had; afterwards nothing raises."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
        try:
            self._socket.bind((0, 0))
            self._socket.settimeout(0.2)
            name = _attribute(_FAMILY_NAME_ATTRIBUTE, b"TASKSTATS\0")
            self._send(_CONTROL_ID, _CONTROL_GET_FAMILY, name)
            answer = dict(_attributes(self._socket.recv(_LARGEST)[20:]))
            family = struct.unpack("<H", answer[_FAMILY_ID_ATTRIBUTE])[0]
            self._send(family, _GET, _attribute(_REGISTER_CPUMASK, _all_cpus() + b"\0"), acknowledge=4)
            self._acknowledged()
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        except (OSError, KeyError, struct.error) as error:
            self._socket.close()
            raise error if isinstance(error, OSError) else OSError("this kernel keeps no exit accounts") from error

    def _acknowledged(self) -> None:
        """Accounts may arrive before the answer. Raises OSError when it is no, or does not come."""
        for _ in range(MOST_AT_ONCE):
            answer = self._socket.recv(_LARGEST)
            if len(answer) >= 20 and struct.unpack_from("<H", answer, 4)[0] == _ERROR:
                code = struct.unpack_from("<i", answer, 16)[0]
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
        raise OSError("the kernel's exit accounts were not understood")

    def drain(self) -> Dict[int, ExitStats]:
        """Accounts of all tasks that ended since the last call, by their id; those the socket had no room for are lost."""
        found: Dict[int, ExitStats] = {}
        for _ in range(MOST_AT_ONCE):
            try:
                stats = parse(self._socket.recv(_LARGEST))
            except BlockingIOError:
                break
            except OSError:
                continue
            if stats is not None:
                found[stats.pid] = stats
        return found

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()

    def _send(self, family: int, command: int, attributes: bytes, acknowledge: int = 0) -> None:
        body = struct.pack("<BBH", command, 1, 0) + attributes
        self._socket.send(struct.pack("<IHHII", 16 + len(body), family, _REQUEST | acknowledge, 1, 0) + body)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) & 3)


def _all_cpus() -> bytes:
    with open("/sys/devices/system/cpu/possible", "rb") as file:
        return file.read(4096).strip()
