"""``/proc/stat``: how the processors spent their time since boot, forks and context switches.

::

    cpu  4705 356 584 3699 23 23 0 7 0 0
    ctxt 1990473
    btime 1062191376
    processes 2915
    procs_running 1
    procs_blocked 0

The first line sums all processors. ``user`` holds guests' time too. ``idle`` and ``iowait`` can go back a little: their parts are
kept per processor and read without a lock. Source: Documentation/filesystems/proc.rst, 1.7; fs/proc/stat.c.
"""

from __future__ import annotations

import re

from .numbers import TICK_NS, scaled, to_int
from .system import SystemSource, Values

PREFIX = "system.stat."
_CPU = re.compile(rb"^cpu  ([0-9 ]+)$", re.MULTILINE)
_COLUMNS = (
    "user",
    "nice",
    "system",
    "idle",
    "iowait",
    "irq",
    "softirq",
    "steal",
)  # then guests, counted in the first two
_LINE = re.compile(rb"^(ctxt|processes|procs_running|procs_blocked) ([0-9]+)$", re.MULTILINE)


def parse(data: bytes) -> Values:
    """``system.stat.cpu.<column>`` in ns; ``system.stat.ctxt``, ``.processes`` (forks and new threads) since boot, and
    ``.procs_running``, ``.procs_blocked`` (waiting for input or output) now."""
    values: Values = {}
    cpu = _CPU.search(data)
    for name, field in zip(_COLUMNS, cpu.group(1).split() if cpu else ()):
        time_ns = scaled(field, TICK_NS)
        if time_ns is not None:
            values[PREFIX + "cpu." + name] = time_ns
    for key, field in _LINE.findall(data):
        count = to_int(field)
        if count is not None:
            values[PREFIX + key.decode()] = count
    return values


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.stat",
        path="stat",
        every_ns=1_000_000_000,
        parse=parse,
        costs="how busy the machine was, and what was stolen from it by its host, is unknown",
    )
