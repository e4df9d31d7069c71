"""``/proc/pressure/memory``: the share of time in which tasks waited for memory (PSI, 4.20+ with CONFIG_PSI).

::

    some avg10=0.12 avg60=0.05 avg300=0.01 total=127304
    full avg10=0.00 avg60=0.00 avg300=0.00 total=61002

Source: Documentation/accounting/psi.rst. Averages are in percent, totals in microseconds.
"""

from __future__ import annotations

import re

from .numbers import scaled, to_int
from .system import SystemSource, Values

_LINE = re.compile(rb"^(some|full) avg10=([0-9]{1,3})\.([0-9]{2}) .*?total=([0-9]+)$", re.MULTILINE)


def parse_as(data: bytes, average: str, total: str) -> Values:
    """The file under names of the caller's: ``average`` and ``total`` are templates for "some" and "full".

    Averages come in 1/100 %, totals in ns. A memory cgroup's ``memory.pressure`` has the same format.
    """
    values: Values = {}
    for who, whole, hundredths, microseconds in _LINE.findall(data):
        name = who.decode()
        share, total_ns = to_int(whole + hundredths), scaled(microseconds, 1000)
        if share is not None:
            values[average.format(name)] = share
        if total_ns is not None:
            values[total.format(name)] = total_ns
    return values


def parse(data: bytes) -> Values:
    """``system.psi.memory.*_avg10`` in 1/100 %, ``system.psi_total.memory.*`` in ns."""
    return parse_as(data, "system.psi.memory.{}_avg10", "system.psi_total.memory.{}")


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.psi.memory",
        path="pressure/memory",
        every_ns=0,
        parse=parse,
        costs="whether tasks had to wait for memory is unknown",
        fix="a kernel with CONFIG_PSI, booted with psi=1",
    )
