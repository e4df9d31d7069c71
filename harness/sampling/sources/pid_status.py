"""``/proc/PID/status``: high-water mark, swap and owner; readable by everyone.

::

    Name:	gunicorn
    Uid:	33	33	33	33
    VmHWM:	   36304 kB
    VmSwap:	       0 kB

The Vm lines are absent for kernel threads and zombies.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..reading import process_directory, read_file
from .numbers import scaled, to_int

# Names are escaped by the kernel in this file, so a line start cannot be forged by the process.
_HWM = re.compile(rb"^VmHWM:[ \t]+([0-9]+) kB$", re.MULTILINE)
_SWAP = re.compile(rb"^VmSwap:[ \t]+([0-9]+) kB$", re.MULTILINE)
_UID = re.compile(rb"^Uid:[ \t]+([0-9]+)", re.MULTILINE)


class PidStatus(NamedTuple):
    """One reading; None = not said."""

    uid: int | None  # the real one
    hwm_bytes: int | None  # largest RSS so far; never falls
    swap_bytes: int | None  # anonymous memory in swap; swapped shared memory is not in it


def parse(data: bytes) -> PidStatus:
    """The fields used here."""
    uid, hwm, swap = _UID.search(data), _HWM.search(data), _SWAP.search(data)
    return PidStatus(
        uid=to_int(uid.group(1)) if uid else None,
        hwm_bytes=scaled(hwm.group(1), 1024) if hwm else None,
        swap_bytes=scaled(swap.group(1), 1024) if swap else None,
    )


def read(mount: str, pid: int) -> PidStatus:
    """Raises OSError."""
    return parse(read_file(process_directory(mount, pid) + "/status"))
