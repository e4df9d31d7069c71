"""Xdebug's profiles (cachegrind format): totals by function, calls between functions, and the exact call tree.

Xdebug writes one block for each *invocation*, when it returns. So the blocks are the call tree in post-order and the tree can be
rebuilt exactly: a block with k calls takes the nearest finished blocks of those names, from the last call backwards. Blocks that
nobody takes are roots: ``{main}``, and also shutdown functions, late destructors, fibers.

::

    header   = "version: 1" "creator: xdebug V (PHP V)" "cmd: " path "part: 1" "positions: line" "" "events: " names ""
    block    = "fl=" ref "fn=" ref cost *( "cfl=" ref "cfn=" ref "calls=1 0 0" cost ) ""
    ref      = "(" id ")" [ " " name ]       ids of files and of functions are separate; a name (re)defines its id
    cost     = line " " time [ " " memory ]  after fn: the call itself; after calls: all of it, with the line of the call
    summary  = "summary: " time " " peak ""

The memory column is the change of the heap between entry and exit, and Xdebug 3 writes every negative change as 0. It shows
where memory was taken; it can show neither peaks nor leaks. The summary's second number is the request's real peak.

Reading is one pass that keeps totals and the folded tree, not the blocks. It is done by a compiled library where there is one
(`cachegrind_kernel.why_not` says why there is none), else in Python, with the same result.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.formats.cachegrind_kernel import KernelBlocks, why_not
from adapters.formats.cachegrind_text import (
    INT64,
    LIMITS,
    Blocks,
    Folded,
    Headers,
    ImpossibleError,
    Limits,
)
from adapters.formats.unpacking import unpacked
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType

TREE_NODES = 20_000
UNPACKED_CAP_BYTES = 1 << 30
TIME = ValueType("time", "ns", "time")
MEMORY = ValueType("memory_growth", "bytes", "memory growth during the call, frees not counted")
NOTE_MEMORY = (
    "memory is what the heap grew by from entering to leaving a call, and calls that left it smaller count as 0: "
    "it shows where memory was taken, not what is kept; it is no leak and does not add up to the peak"
)

_INTERNAL = b"php:internal"


def read_cachegrind(
    path: Path, *, cap_bytes: int = UNPACKED_CAP_BYTES, limits: Limits = LIMITS, compiled: bool | None = None
) -> Profile:
    """Read a profile, plain or gzip (decided by its first bytes, never by its name).

    A file cut anywhere gives what is there, with ``complete=False``. Raises ValueError for anything that is no such profile
    or unpacks to more than ``cap_bytes``, OSError when it cannot be read. ``compiled`` as in `parse_cachegrind`.
    """
    return parse_cachegrind(unpacked(path, cap_bytes), limits=limits, compiled=compiled)


def parse_cachegrind(
    chunks: Iterable[bytes], *, tree_nodes: int = TREE_NODES, limits: Limits = LIMITS, compiled: bool | None = None
) -> Profile:
    """The same from bytes in chunks of any size. At most ``tree_nodes`` nodes of the tree are given, largest first.

    Values are (time in ns, memory growth in bytes), time alone for Xdebug before 2.6. Several profiles in one file are
    added up. Undecodable bytes in names become ``\\xNN``. ``compiled``: read with the compiled library (True; raises
    `cachegrind_kernel.NoKernelError` where there is none), in Python (False), or with what there is.
    """
    headers = Headers()
    blocks = open_blocks(headers, limits, compiled=compiled)
    with _collector_paused():
        for chunk in chunks:
            blocks.feed(chunk)
        headers.end(blocks)
        return _profile(headers, blocks.finish(tree_nodes), limits)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """The tree has no cycles, and walking it again and again while it grows takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def open_blocks(headers: Headers, limits: Limits = LIMITS, *, compiled: bool | None = None) -> Blocks:
    """A reader of blocks; ``compiled`` as in `parse_cachegrind`."""
    if compiled is None:
        compiled = why_not() is None
    if compiled:
        return KernelBlocks(headers, limits)
    from adapters.formats.cachegrind_blocks import PythonBlocks  # noqa: PLC0415  (5 ms that only the fallback needs)

    return PythonBlocks(headers, limits)


def _profile(headers: Headers, folded: Folded, limits: Limits) -> Profile:
    unit = headers.unit_ns
    if folded.sizes[0] * unit >= INT64 or folded.sizes[1] >= INT64:
        raise ImpossibleError
    with_memory = headers.columns == 2
    lines: dict[int, int] = {}
    functions = []
    for frame, line, calls, time, memory, all_time, all_memory in folded.functions:
        lines[frame] = line
        own, whole = (
            ((time * unit, memory), (all_time * unit, all_memory))
            if with_memory
            else ((time * unit,), (all_time * unit,))
        )
        functions.append(FunctionCost(frame, calls, own, whole))
    if not functions and headers.malformed:
        raise ValueError("this is no Xdebug profile: not one block in it can be read")
    if with_memory:
        edges = [CallEdge(a, b, line, calls, (time * unit, memory)) for a, b, line, calls, time, memory in folded.edges]
        tree = [
            CallNode(frame, parent, calls, (time * unit, memory), (all_time * unit, all_memory))
            for frame, parent, calls, time, memory, all_time, all_memory in folded.tree
        ]
    else:
        edges = [CallEdge(a, b, line, calls, (time * unit,)) for a, b, line, calls, time, _ in folded.edges]
        tree = [
            CallNode(frame, parent, calls, (time * unit,), (all_time * unit,))
            for frame, parent, calls, time, _, all_time, _ in folded.tree
        ]
    complete = headers.summaries >= max(headers.segments, 1) and not headers.cut and not headers.malformed
    return Profile(
        tool="xdebug",
        value_types=(TIME, MEMORY) if with_memory else (TIME,),
        frames=tuple(
            _frame(file, function, lines.get(number, -1)) for number, (file, function) in enumerate(folded.frames)
        ),
        functions=tuple(functions),
        edges=tuple(edges),
        tree=tuple(tree),
        totals=_totals(headers),
        notes=tuple(_notes(headers, folded, limits, complete=complete)),
        complete=complete,
    )


def _frame(file: bytes, function: bytes, line: int) -> Frame:
    """Internal functions have no line of their own: Xdebug gives the line they were called from."""
    known = None if line < 0 or file == _INTERNAL else line
    return Frame(function.decode(errors="backslashreplace"), file.decode(errors="backslashreplace"), known)


def _totals(headers: Headers) -> dict[str, int | None]:
    """From the summary lines only: the memory column cannot give a peak. A peak of 0 means that PHP did not count."""
    if not headers.summaries:
        return {"time_ns": None, "peak_bytes": None}
    time_ns = headers.time * headers.unit_ns
    if time_ns >= INT64 or headers.peak >= INT64:
        raise ImpossibleError
    return {"time_ns": time_ns, "peak_bytes": headers.peak if headers.peak and headers.columns == 2 else None}


def _notes(headers: Headers, folded: Folded, limits: Limits, *, complete: bool) -> Iterator[str]:
    if headers.columns == 2:
        yield NOTE_MEMORY
        if headers.without_peak:
            yield "PHP ran without its own allocator (USE_ZEND_ALLOC=0), so it counted no memory"
    if not complete:
        yield "the profile is incomplete: the end of the request is missing, and functions it was still in are roots of their own"
    if headers.segments > 1 or headers.summaries > 1:
        count = max(headers.segments, headers.summaries)
        yield f"the file holds {count} profiles, added up; the peak is the highest of theirs"
    if folded.tree_size is None:
        yield (
            f"there are more than {limits.tree} different call paths, so there is no tree, and inclusive values of functions "
            "that call themselves through others count several times"
        )
    elif folded.tree_size > len(folded.tree):
        yield (
            f"the tree shows the {len(folded.tree)} largest of {folded.tree_size} different call paths; "
            "the others are part of their callers' inclusive values"
        )
    if folded.unmatched:
        yield f"{folded.unmatched} calls have no block of their own; their inclusive values count as their own"
    if headers.malformed:
        yield f"{headers.malformed} places in the file could not be read"
