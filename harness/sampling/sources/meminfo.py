"""``/proc/meminfo``: where the machine's memory is, in bytes.

::

    MemTotal:       24592180 kB
    Active(anon):     612344 kB
    HugePages_Total:       0
"""

from __future__ import annotations

from .numbers import scaled
from .system import SystemSource, Values

PREFIX = "system.meminfo."
# Sizes of address ranges and mapping granularity: constants that say nothing about use.
_LEFT_OUT = ("VmallocTotal", "VmallocChunk", "DirectMap", "Hugepagesize", "Cma")


def parse(data: bytes) -> Values:
    """Every line with a unit, except constants; counts of huge pages have no unit and are left out."""
    values: Values = {}
    for line in data.splitlines():
        name, colon, rest = line.partition(b":")
        fields = rest.split()
        if not colon or len(fields) != 2 or fields[1] != b"kB":
            continue
        value = scaled(fields[0], 1024)
        text = name.decode("ascii", "replace")
        if value is not None and text and not text.startswith(_LEFT_OUT):
            values[PREFIX + text] = value
    return values


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.meminfo",
        path="meminfo",
        every_ns=0,
        parse=parse,
        costs="growth outside the processes (kernel, page cache, tmpfs) cannot be seen, and MemAvailable guards nothing",
    )
