"""``/proc/pagetypeinfo``: free blocks of 2^order pages by node, zone and migrate type; readable by root only.

::

    Node    0, zone   Normal, type    Unmovable   1874   1010    388 ...
    Node    0, zone   Normal, type      Movable >100000  40210   1877 ...

Says whether free memory is broken up by pages that cannot be moved. Counting walks the free lists with interrupts off (6 ms on a
machine of 24 GiB), so the kernel asks not to read it constantly and stops at 100,000 blocks of an order. Source: mm/vmstat.c.
"""

from __future__ import annotations

import re

from .buddyinfo import by_order
from .system import SystemSource, Values

PREFIX = "system.pagetypeinfo."
_LINE = re.compile(
    rb"^Node +([0-9]{1,4}), zone +([A-Za-z0-9_]{1,32}), type +([A-Za-z0-9_]{1,32}) ([0-9> ]+)$", re.MULTILINE
)


def parse(data: bytes) -> Values:
    """``system.pagetypeinfo.<node>.<zone>.<type>.<order>``: number of free blocks; a count that was cut off is left out."""
    values: Values = {}
    for node, zone, kind, counts in _LINE.findall(data):
        values.update(by_order("{}{}.{}.{}.".format(PREFIX, node.decode(), zone.decode(), kind.decode()), counts))
    return values


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.pagetypeinfo",
        path="pagetypeinfo",
        every_ns=0,
        once=True,
        parse=parse,
        costs="whether free memory is broken up by unmovable pages is unknown",
        fix="root",
    )
