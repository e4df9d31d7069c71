"""``/proc/PID/maps``: the mappings of a process.

::

    7f1c3a000000-7f1c3a021000 rw-p 00000000 00:00 0          [heap]

The kernel escapes line feeds in file names, so one line is one mapping. See proc_pid_maps(5).
"""

from __future__ import annotations

import re
from typing import List, NamedTuple

from ..reading import process_directory, read_file

CAP_BYTES = 16 << 20  # vm.max_map_count is 65,530 by default: about 6 MB
_LINE = re.compile(
    rb"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ [0-9]+ *(.*)$",
    re.MULTILINE,
)


class Mapping(NamedTuple):
    """One mapping, ``start <= address < end``; ``offset`` is that of ``start`` in the file."""

    start: int
    end: int
    permissions: str  # such as "rw-p"
    offset: int
    path: str  # empty for anonymous memory; "[heap]", "[stack]" and so on as the kernel names them

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start

    @property
    def private_anonymous(self) -> bool:
        """Writable memory that no file is behind and that is not a stack the kernel knows of."""
        return self.permissions == "rw-p" and (not self.path or self.path.startswith(("[heap", "[anon")))


def parse(data: bytes) -> List[Mapping]:
    """The mappings in the order of their addresses; lines that are not understood are left out."""
    return [
        Mapping(int(start, 16), int(end, 16), permissions.decode(), int(offset, 16), path.decode("utf-8", "replace"))
        for start, end, permissions, offset, path in _LINE.findall(data)
    ]


def read(mount: str, pid: int) -> List[Mapping]:
    """Raises OSError; empty for a process without memory of its own."""
    return parse(read_file(process_directory(mount, pid) + "/maps", CAP_BYTES))
