"""The kernel's process connector: every fork and exit on this host, with its time, as it happens (CONFIG_PROC_EVENTS).

A worker that is born and recycled between two sweeps is in no ``/proc`` listing either sweep reads; the connector tells of
it. Needs root (CAP_NET_ADMIN) in the host's own pid and network namespace; times are CLOCK_MONOTONIC ns.

A socket filter in the kernel keeps forks and exits of whole processes only, so threads, execs and renames cost nothing here.

Sources: include/uapi/linux/cn_proc.h, include/uapi/linux/connector.h, Documentation/driver-api/connector.rst, and
Documentation/networking/filter.rst for the filter.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
from typing import List, NamedTuple, Tuple, Union

_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC = 11, 1, 1
_MULTICAST_LISTEN, _MULTICAST_IGNORE = 1, 2
_NONE, _FORK, _EXIT = 0, 0x1, 0x80000000
_NLMSG_DONE = 3
_WHAT, _DATA = 36, 52  # behind struct nlmsghdr (16) and struct cn_msg (20): what, cpu, timestamp, then the event
_EVENT = struct.Struct("<IIQ")
_SO_ATTACH_FILTER = 26
_LARGEST = 1 << 10
_BUFFER_BYTES = 1 << 20
_ACKNOWLEDGED_S = 0.1
MOST_AT_ONCE = 20_000  # events taken in one sweep; what is left waits, or overflows the socket, which is noticed


class Fork(NamedTuple):
    """A process was made."""

    t_ns: int
    parent: int
    child: int


class Exit(NamedTuple):
    """A process ended: with a code, or by a signal."""

    t_ns: int
    pid: int
    code: int | None
    signal: int | None


ProcEvent = Union[Fork, Exit]


def parse(data: bytes) -> ProcEvent | None:
    """One netlink message; None for anything but the fork or exit of a process."""
    if len(data) < _DATA + 16:
        return None
    what, _, t_ns = _EVENT.unpack_from(data, _WHAT)
    if what == _FORK:
        _, parent, thread, child = struct.unpack_from("<4I", data, _DATA)
        return Fork(t_ns, parent, child) if thread == child else None
    if what == _EXIT:
        thread, pid, status, _ = struct.unpack_from("<4I", data, _DATA)
        if thread != pid:
            return None
        ended_by = status & 0x7F
        return Exit(t_ns, pid, None if ended_by else (status >> 8) & 0xFF, ended_by or None)
    return None


class Unavailable(Exception):  # noqa: N818  # a normal outcome
    """Why there are no events."""


class ProcEvents:
    """The subscription. Raises Unavailable; afterwards nothing raises."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
        except OSError as error:
            raise Unavailable("this kernel has no process connector") from error
        try:
            self._subscribe()
        except OSError as error:
            self._socket.close()
            raise Unavailable("the kernel's process events need root (CAP_NET_ADMIN)") from error
        except Unavailable:
            self._socket.close()
            raise

    def drain(self) -> Tuple[List[ProcEvent], bool]:
        """What happened since the last call; True when some of it was lost, and the tree must be looked at anew."""
        events: List[ProcEvent] = []
        lost = False
        for _ in range(MOST_AT_ONCE):
            try:
                event = parse(self._socket.recv(_LARGEST))
            except BlockingIOError:
                break
            except OSError as error:
                lost = True
                if error.errno != errno.ENOBUFS:
                    break
                continue
            if event is not None:
                events.append(event)
        return events, lost

    def close(self) -> None:
        """Unsubscribe, in words: before Linux 6.6 a closed socket still counts as a listener, for which events are made."""
        with contextlib.suppress(OSError):
            self._order(_MULTICAST_IGNORE)
        self._socket.close()

    def _order(self, operation: int) -> None:
        order = struct.pack("<I", operation)
        message = struct.pack("<IIIIHH", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(order), 0) + order
        self._socket.send(struct.pack("<IHHII", 16 + len(message), _NLMSG_DONE, 0, 0, os.getpid()) + message)

    def _subscribe(self) -> None:
        self._socket.bind((0, _CN_IDX_PROC))
        self._order(_MULTICAST_LISTEN)
        # Outside the host's own pid namespace the kernel ignores the order without a word.
        while True:
            if not select.select([self._socket], [], [], _ACKNOWLEDGED_S)[0]:
                raise Unavailable("the kernel's process events are only to be had in the host's own namespaces")
            answer = self._socket.recv(_LARGEST)
            if len(answer) < _DATA + 4 or _EVENT.unpack_from(answer, _WHAT)[0] != _NONE:
                continue
            failed = struct.unpack_from("<I", answer, _DATA)[0]
            if failed:
                raise OSError(failed, os.strerror(failed))
            break
        self._filter()
        self._socket.setblocking(False)
        for option in (33, socket.SO_RCVBUF):  # SO_RCVBUFFORCE first: more than the default limit where permitted
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
                break
            except OSError:
                continue

    def _filter(self) -> None:
        program = _program()
        code = ctypes.create_string_buffer(program)
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
        )


def _program() -> bytes:
    """Classic BPF: accept a fork whose child, or an exit whose process, is the leader of its thread group."""
    load, to_x, equal, equal_x, accept = 0x20, 0x07, 0x15, 0x1D, 0x06
    steps = (
        (load, 0, 0, _WHAT),
        (equal, 1, 0, _loaded(_FORK)),  # -> fork
        (equal, 4, 9, _loaded(_EXIT)),  # -> exit, or reject
        (load, 0, 0, _DATA + 8),  # fork: pid and tgid of the child
        (to_x, 0, 0, 0),
        (load, 0, 0, _DATA + 12),
        (0x05, 0, 0, 3),  # -> compare
        (load, 0, 0, _DATA),  # exit: pid and tgid of the process
        (to_x, 0, 0, 0),
        (load, 0, 0, _DATA + 4),
        (equal_x, 0, 1, 0),  # compare
        (accept, 0, 0, 0xFFFFFFFF),
        (accept, 0, 0, 0),  # reject
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _loaded(value: int) -> int:
    """BPF loads words in network order."""
    return int.from_bytes(value.to_bytes(4, "little"), "big")
