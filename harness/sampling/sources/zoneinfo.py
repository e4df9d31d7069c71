"""``/proc/zoneinfo``: free pages of every memory zone and the watermarks at which reclaim begins.

::

    Node 0, zone   Normal
      pages free     552119
            boost    0
            min      12874
            low      16092
            high     19310
            managed  2226176

Below ``low`` kswapd wakes up, below ``min`` allocations reclaim by themselves; ``boost`` (5.0+) is added to all three after a
fragmentation event. Source: Documentation/admin-guide/sysctl/vm.rst, mm/vmstat.c.
"""

from __future__ import annotations

import re

from .numbers import to_int
from .system import SystemSource, Values

PREFIX = "system.zoneinfo."
_MOST_ZONES = 256
_ZONE = re.compile(rb"^Node ([0-9]{1,4}), zone +([A-Za-z0-9_]{1,32})$", re.MULTILINE)
# Lines of the per-CPU lists further down have a colon ("high:"), so they do not match.
_FIELD = re.compile(rb"^ +(pages free|boost|min|low|high|managed) +([0-9]+)$", re.MULTILINE)


def parse(data: bytes) -> Values:
    """``system.zoneinfo.<node>.<zone>.<free|boost|min|low|high|managed>`` in pages; zones without memory are left out."""
    values: Values = {}
    headers = list(_ZONE.finditer(data))[:_MOST_ZONES]
    ends = [header.start() for header in headers[1:]] + [len(data)]
    for header, end in zip(headers, ends):
        fields = dict(reversed(_FIELD.findall(data, header.end(), end)))  # the first of a name wins
        if not to_int(fields.get(b"managed", b"")):
            continue
        place = "{}{}.{}.".format(PREFIX, header.group(1).decode(), header.group(2).decode())
        for name, field in fields.items():
            pages = to_int(field)
            if pages is not None:
                values[place + name.decode().rpartition(" ")[2]] = pages
    return values


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.zoneinfo",
        path="zoneinfo",
        every_ns=5_000_000_000,
        parse=parse,
        costs="how far free memory was from the watermarks at which reclaim begins is unknown",
    )
