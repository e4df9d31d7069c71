"""Which of Xdebug's tools find the place of which growth, for `profile: auto`."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.php.xdebug.tools import GCSTATS, PROFILE, TRACE
from harness.model.finding import Cause
from harness.plugins.spec import Shows, ToolUse

_KERNEL = (Cause.KERNEL_SLAB, Cause.KERNEL_PRESSURE, Cause.KERNEL_FRAGMENTATION, Cause.PAGE_CACHE, Cause.THP)
_CALLS = ToolUse(PROFILE.name, Shows.CALLS)
_KEPT = ToolUse(TRACE.name, Shows.KEPT)
_GARBAGE = ToolUse(GCSTATS.name, Shows.GARBAGE)
# What is not in Zend's heap: a trace does not count it, the calls that make it are all there is to see.
_ELSEWHERE = (
    Cause.SHARED_MEMORY,
    Cause.MAPPED_FILES,
    Cause.DESCRIPTORS,
    Cause.THREADS,
    Cause.LEAK_NATIVE,
    Cause.LEAK_MMAP,
    Cause.COW_UNSHARING,
)


def tools_for(cause: Cause) -> Sequence[ToolUse]:
    """In order of use."""
    if cause in _KERNEL:
        return ()
    if cause in _ELSEWHERE:
        return (_CALLS,)
    if cause is Cause.GC_DELAY:
        return (_GARBAGE, _KEPT)
    return (_KEPT, _CALLS)


def why_no_line(cause: Cause) -> str:
    """Why these tools name no line; empty where they do."""
    if cause in _KERNEL:
        return "this memory is the kernel's: no profiler of PHP sees who asked for it"
    if cause in (Cause.LEAK_NATIVE, Cause.LEAK_MMAP):
        return "memory that extensions take past PHP's own allocator is not counted by Xdebug"
    if cause is Cause.COW_UNSHARING:
        return "pages that were shared are written to by every part of PHP: no line of its own does that"
    return ""
