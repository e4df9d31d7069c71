"""``/proc/swaps``: swap areas, their size and use.

::

    Filename				Type		Size		Used		Priority
    /dev/zram0                              partition	2097148		1040		100
    /swap\\040file                           file		1048572		0		-2

No area is a fact (all zeros), not a missing signal. Sizes are in kB. Names are escaped by the kernel, so they hold no blanks.
"""

from __future__ import annotations

from .numbers import scaled
from .system import SystemSource, Values

PREFIX = "system.swap."
_HEADER = b"Filename"


def parse(data: bytes) -> Values:
    """``system.swap.size``, ``.used`` in bytes; ``system.swap.areas.<zram|partition|file>``: how many of each.

    Size and use are left out if one area's cannot be read, because a sum without it would be wrong.
    """
    header, _, rest = data.partition(b"\n")
    if not header.startswith(_HEADER):
        return {}
    sizes, counts = [], {"zram": 0, "partition": 0, "file": 0}
    for line in rest.splitlines():
        fields = line.split()
        if not fields:
            continue
        sizes.append([scaled(fields[at], 1024) if len(fields) == 5 else None for at in (2, 3)])
        kind = (
            "zram" if fields[0].startswith(b"/dev/zram") else fields[1].decode("ascii", "replace") if fields[1:] else ""
        )
        if kind in counts:
            counts[kind] += 1
    values: Values = {PREFIX + "areas." + kind: count for kind, count in counts.items()}
    for name, column in (("size", [size for size, _ in sizes]), ("used", [used for _, used in sizes])):
        known = [value for value in column if value is not None]
        if len(known) == len(column) and sum(known) < 1 << 63:
            values[PREFIX + name] = sum(known)
    return values


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.swap",
        path="swaps",
        every_ns=5_000_000_000,
        parse=parse,
        costs="which swap areas there are and how full they were is unknown",
    )
