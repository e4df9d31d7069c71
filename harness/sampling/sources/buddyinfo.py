"""``/proc/buddyinfo``: free blocks of 2^order pages by node and zone, for external fragmentation.

::

    Node 0, zone   Normal   1874   1010    388 ...
"""

from __future__ import annotations

import re

from .numbers import to_int
from .system import SystemSource, Values

PREFIX = "system.buddyinfo."
_LINE = re.compile(rb"^Node ([0-9]{1,4}), zone +([A-Za-z0-9_]{1,32}) +([0-9 ]+)$", re.MULTILINE)


def parse(data: bytes) -> Values:
    """``system.buddyinfo.<node>.<zone>.<order>``: number of free blocks. Per-CPU lists are not in it."""
    values: Values = {}
    for node, zone, counts in _LINE.findall(data):
        values.update(by_order("{}{}.{}.".format(PREFIX, node.decode(), zone.decode()), counts))
    return values


def by_order(place: str, counts: bytes) -> Values:
    """A row of counts, one for each order, under ``<place><order>``; those that are no numbers are left out."""
    numbers = enumerate(map(to_int, counts.split()))
    return {place + str(order): count for order, count in numbers if count is not None}


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.buddyinfo",
        path="buddyinfo",
        every_ns=1_000_000_000,
        parse=parse,
        costs="fragmentation of free physical memory cannot be computed",
    )
