"""glibc in one process, found and verified."""

from __future__ import annotations

import re
from typing import Dict, List, Sequence, Tuple

from ..image import Image
from ..process import Process
from ..reader import Reader, TypeCount, Values
from ..refusal import Refused, Torn, Unreadable
from . import shape
from .arenas import STARTS, Arena, Ring, Span, length, main_span
from .walk import walk

SHOWN_ARENAS = 64  # the newer ones are summed up
WALK_CAP_BYTES = 8 << 30  # 3 to 12 s of reading
_LIBC = re.compile(r"/libc(\.so\.6|-2\.\d+\.so)( \(deleted\))?$")
_MUSL = re.compile(r"/(ld-musl-[^/]*|libc\.musl-[^/]*|libc)\.so(\.\d+)?( \(deleted\))?$")
_OTHER_MALLOC = re.compile(r"/lib(jemalloc|tcmalloc|mimalloc|hoard|snmalloc|rpmalloc)[^/]*\.so[^/]*$")
# The banner that running libc.so.6 prints.
_VERSION = re.compile(rb"GNU C Library [^\n\0]{0,200} version (\d{1,3}\.\d{1,3})")
_TRIES = 8
# By build-id: where the bins of the main arena are, relative to where the library is loaded. Only where to look first.
_PLACES: Dict[str, int] = {}
_MOST_PLACES = 64
_TRIED_BYTES = 256 << 20  # walked in vain before no further try is made: about 0.3 s


class Glibc(Reader):
    """Counters and walks of malloc.

    With the process at rest these hold to the byte, against mallinfo2(3): system = arena, mmapped = hblkhd, used = uordblks +
    fsmblks, free = fordblks - fsmblks; with one arena top = keepcost. That is: chunks in a thread's cache and in fast bins
    count as used, as do malloc's own structures; used + free = system always.
    """

    runtime = "glibc"

    def __init__(self, process: Process, ring: Ring, parameters: shape.Parameters | None, version: str) -> None:
        super().__init__()
        self._memory = process.memory
        self._ring = ring
        self._parameters = parameters
        self.facts["version"] = version
        self.facts["arenas"] = len(ring.read())
        if parameters is None:
            self.missing["runtime.glibc.mmapped"] = "glibc: mp_ was not found; memory from mmap is not counted"
            self.missing["runtime.glibc.used"] = "glibc: mp_ was not found, so the start of the main heap is not known"

    def counters(self) -> Values:
        arenas = self._ring.read()
        values = {
            "runtime.glibc.arenas": len(arenas),
            "runtime.glibc.system": sum(arena.system for arena in arenas),
            "runtime.glibc.top": sum(arena.top_bytes for arena in arenas),
        }
        if self._parameters is not None:
            values["runtime.glibc.mmapped"] = self._mmapped(self._parameters)
        return values

    def walk(self) -> Values:
        """Of all arenas or of none: a sum that lacks one would be wrong. Raises Refused."""
        if self._parameters is None:
            raise Refused(self.missing["runtime.glibc.used"])
        torn = tried_bytes = 0
        while True:
            try:
                arenas = self._ring.read()
                spans = [self._spans(arena, self._parameters, main=not k) for k, arena in enumerate(arenas)]
                tried_bytes += sum(map(length, spans))
                return self._walk(arenas, spans, torn)
            except Torn:
                torn += 1
                if torn >= _TRIES or tried_bytes > _TRIED_BYTES:
                    raise

    def types(self, every: int) -> List[TypeCount]:
        raise Refused("glibc does not know what its chunks hold")

    def _walk(self, arenas: Sequence[Arena], spans: Sequence[List[Span]], torn: int) -> Values:
        if sum(map(length, spans)) > WALK_CAP_BYTES:
            raise Refused("glibc: its heaps are larger than the {} GiB that are walked".format(WALK_CAP_BYTES >> 30))
        values: Dict[str, int] = {"runtime.glibc.used": 0, "runtime.glibc.free": 0}
        for k, (arena, parts) in enumerate(zip(arenas, spans)):
            used = 0
            for span in parts:
                counted = walk(self._memory, span, lambda arena=arena: self._ring.top(arena))  # type: ignore[misc]
                used += counted.used + span.overhead
                torn += counted.torn
            free = arena.system - used
            if free < 0:
                raise Torn("more in use than there is")
            label = k if k < SHOWN_ARENAS else "rest"
            for name, value in (("used", used), ("free", free)):
                own = "runtime.glibc.{}_arena.{}".format(name, label)
                values["runtime.glibc." + name] += value
                values[own] = values.get(own, 0) + value
        values["runtime.glibc.torn"] = torn
        return values

    def _spans(self, arena: Arena, parameters: shape.Parameters, main: bool) -> List[Span]:
        if not main:
            return self._ring.heaps(arena)
        if not self._ring.contiguous(arena):
            raise Refused("glibc: the main heap is in several pieces (brk was blocked), which cannot be walked")
        return [main_span(arena, parameters.sbrk_base)]

    def _mmapped(self, parameters: shape.Parameters) -> int:
        for _ in range(_TRIES):
            mmapped, most, base = self._memory.words(parameters.mmapped_at, 3)
            if mmapped <= most and base == parameters.sbrk_base:
                return mmapped
        raise Torn("mp_ is not what it was")


def attach(process: Process) -> Glibc:
    """Raises Refused for another C library or another malloc; Torn when the process may just have been too busy, or has not
    used malloc yet."""
    libraries = process.images(lambda path: bool(_LIBC.search(path)))
    if not libraries:
        if any(_MUSL.search(mapping.path) for mapping in process.mappings):
            raise Refused("glibc: the program runs on musl, whose malloc keeps no counters")
        raise Refused("glibc: no C library is mapped (a static program)")
    libc = libraries[0]
    other = next((found for found in map(_other_malloc, (m.path for m in process.mappings)) if found), None)
    if other:
        raise Refused("glibc: {} is in the maps, its counters cannot be read from outside".format(other))
    heap = next((mapping.start for mapping in process.mappings if mapping.path == "[heap]"), None)
    for _ in range(_TRIES):
        rings = _rings(process, libc)
        if len(rings) == 1:
            return Glibc(process, rings[0], _parameters(process, libc, heap), libc.text(_VERSION) or "unknown")
    raise Torn(
        "glibc: {} main arenas found: another malloc is linked in, or malloc was not used yet".format(len(rings))
    )


def _rings(process: Process, libc: Image) -> List[Ring]:
    """Where the last process of the same build had its main arena, else all that have the shape of one."""
    build = libc.build_id()
    if build in _PLACES:
        rings = _search(process, [(libc.bias + _PLACES[build], 16 * shape.BIN_PAIRS)])
        if len(rings) == 1:
            return rings
    rings = _search(process, libc.writable)
    if len(rings) == 1 and build and len(_PLACES) < _MOST_PLACES:
        _PLACES[build] = rings[0].main_bins - libc.bias
    return rings


def _search(process: Process, stretches: Sequence[Tuple[int, int]]) -> List[Ring]:
    rings = []
    for address, size in stretches:
        for bins in shape.bins(process.memory.read(address, size), address):
            for start in STARTS:
                try:
                    rings.append(Ring(process.memory, bins, start))
                except Unreadable:
                    raise
                except Torn:
                    continue
    return rings


def _parameters(process: Process, libc: Image, heap: int | None) -> shape.Parameters | None:
    if heap is None:
        return None
    for _ in range(_TRIES):
        found = [
            one
            for address, size in libc.writable
            for one in shape.parameters(process.memory.read(address, size), address, heap)
        ]
        if len(found) == 1:
            return found[0]
    return None


def _other_malloc(path: str) -> str | None:
    found = _OTHER_MALLOC.search(path)
    return found.group(1) if found else None
