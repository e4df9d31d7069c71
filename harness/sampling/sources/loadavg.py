"""``/proc/loadavg``: tasks that ran or waited (for a processor, or uninterruptibly), averaged over 1, 5 and 15 minutes.

::

    0.16 0.12 0.08 2/100 16054
"""

from __future__ import annotations

import re

from .numbers import to_int
from .system import SystemSource, Values

PREFIX = "system.loadavg."
_LINE = re.compile(rb"([0-9]+)\.([0-9]{2}) ([0-9]+)\.([0-9]{2}) ([0-9]+)\.([0-9]{2}) ([0-9]+)/([0-9]+) ")


def parse(data: bytes) -> Values:
    """``system.loadavg.<1m|5m|15m>`` in hundredths of a task; ``system.loadavg.runnable`` and ``.total``: tasks now."""
    found = _LINE.match(data)
    if found is None:
        return {}
    part = found.group
    fields = {
        "1m": part(1) + part(2),
        "5m": part(3) + part(4),
        "15m": part(5) + part(6),
        "runnable": part(7),
        "total": part(8),
    }
    values = {PREFIX + name: to_int(field) for name, field in fields.items()}
    return {name: value for name, value in values.items() if value is not None}


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.loadavg",
        path="loadavg",
        every_ns=1_000_000_000,
        parse=parse,
        costs="how many tasks competed for the processors is unknown",
    )
