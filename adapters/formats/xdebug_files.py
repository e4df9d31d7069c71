"""The three kinds of files that Xdebug writes, as formats."""

from __future__ import annotations

from adapters.formats.cachegrind import read_cachegrind
from adapters.formats.callgrind import looks_like
from adapters.formats.xdebug_gcstats import read_gcstats
from adapters.formats.xdebug_trace import read_trace
from harness.plugins.formats import FileFormat


def _is_cachegrind(head: bytes) -> bool:
    """Only Xdebug's own: in other files of this grammar a block is not one call, so there is no exact tree in them."""
    head = head.lstrip()
    if head.startswith(b"==== NEW PROFILING FILE"):
        head = head.partition(b"\n")[2].lstrip()
    return looks_like(head) and b"\ncreator: xdebug" in head


def _is_trace(head: bytes) -> bool:
    return head.startswith(b"Version: ") and b"\nFile format: " in head and b"\nTRACE START" in head


def _is_gcstats(head: bytes) -> bool:
    return head.lstrip().startswith(b"Garbage Collection Report")


CACHEGRIND = FileFormat("cachegrind", "Xdebug profile (cachegrind)", _is_cachegrind, read_cachegrind)
TRACE = FileFormat("xdebug_trace", "Xdebug trace", _is_trace, read_trace)
GCSTATS = FileFormat("xdebug_gcstats", "Xdebug report of the garbage collector", _is_gcstats, read_gcstats)
