"""Which tools find the line of which growth, for `profile: auto`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from harness.model.finding import Cause
from harness.plugins.spec import Shows, ToolUse

# Innermost frames of each allocation: from a template engine or an ORM up to the application's line. What they cost is paid by
# the measured request alone.
_FRAMES = "24"
_NATIVE = (Cause.LEAK_NATIVE, Cause.LEAK_MMAP)
_KERNEL = (Cause.KERNEL_SLAB, Cause.KERNEL_PRESSURE, Cause.KERNEL_FRAGMENTATION, Cause.PAGE_CACHE, Cause.THP)
_HEADER_CAP = 3000  # characters: of a header servers take 4 to 8 KiB

_KEPT = ToolUse("tracemalloc", Shows.KEPT, {"frames": _FRAMES})
_HELD = ToolUse("survivors", Shows.HOLDERS)
_LINES = ToolUse("lines", Shows.KEPT, follows=True)
_STACKS = ToolUse("memray", Shows.KEPT, {"native": "1"}, again=False)
_GARBAGE = (
    ToolUse("tracemalloc", Shows.GARBAGE, {"frames": _FRAMES, "garbage": "1"}),
    ToolUse("survivors", Shows.GARBAGE, {"garbage": "1"}),
)


def tools_for(cause: Cause, *, memray: bool) -> Sequence[ToolUse]:
    """In order of use. ``memray``: whether it is at hand."""
    if cause in _KERNEL:
        return ()
    if cause in _NATIVE:
        return (_STACKS, _KEPT) if memray else (_KEPT,)  # the second tells objects that only look native from outside
    if cause is Cause.GC_DELAY:
        return (*_GARBAGE, _LINES)
    if cause in (Cause.LEAK, Cause.FRAGMENTATION, Cause.RETENTION) and memray:
        return (_KEPT, _HELD, _LINES, _STACKS)
    return (_KEPT, _HELD, _LINES)


def why_no_line(cause: Cause, *, memray: bool) -> str:
    """Why these tools name no line; empty where they do."""
    if cause in _KERNEL:
        return "this memory is the kernel's: no profiler of Python sees who asked for it"
    if cause in _NATIVE and not memray:
        return (
            "native memory is seen by memray only, which is not at hand: with profile: [memray] it is fetched once, "
            "and from then on it is used"
        )
    if cause is Cause.COW_UNSHARING:
        return "pages that were shared are written to by every part of the interpreter: no line of its own does that"
    return ""


def words(use: ToolUse) -> Mapping[str, str]:
    """The settings of one trigger as options of the agent's tool; of the places as many as fit into a header."""
    places = list(use.places)
    while len(text := json.dumps(places)) > _HEADER_CAP:
        places.pop()
    return {**use.settings, **({"at": text} if places else {})}
