"""The reader of CPython: attaches, proves what it found, and reads it again and again."""

from __future__ import annotations

import struct
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Tuple, TypeVar, Union

from ...reading import why
from ...redact import printable
from .. import pagemap
from ..process import Process
from ..reader import Reader, TypeCount, Values
from ..refusal import Refused, Torn, Unreadable
from . import arenas, census, gc_state, layouts, locate
from .layouts import Layout

TRIES = 3  # of one reading; one after the other, see `attach`
EVERY_LARGE, LARGE_BYTES = 8, 200 << 20  # types: one of 8 pools where the arenas are larger than this
_TEXT_CAP = 200
_NAME = "runtime.python."
_COUNTS_RAW_BLOCKS = 0x030C  # 3.12, the first to count the blocks that malloc holds for Python
# By build-id, with slots relative to where the image is loaded. Only where to look first: what is there has to prove itself.
_PLACES: Dict[str, arenas.Place] = {}
_MOST_PLACES = 64
_T = TypeVar("_T")


class _Table(NamedTuple):
    """What the table part reads with."""

    runtime: int
    layout: Layout
    tracing: Union[int, None]  # address of tracemalloc's switch
    traced: Union[int, None]  # address of the number of bytes it has traced


def attach(process: Process) -> "PythonReader | None":
    """The reader of the CPython in a process, None when there is none in it.

    Each part is proved by a strict reading of its own, tried `TRIES` times at once: the sampler must not sleep, and time between
    tries is not needed to tell a coincidence from the truth, because every later reading checks the same again, a tick or more
    apart, and the caller drops a part that is refused twice. Raises Refused when nothing in it can be trusted, and Unreadable.
    """
    found = locate.find(process)
    if found is None:
        return None
    head = process.memory.words(found.runtime, layouts.DEBUG_WORDS) if found.runtime_bytes >= 1024 else ()
    if layouts.free_threaded(found.minor, head):
        raise Refused(
            "CPython {}, a free-threaded build: it has neither pymalloc nor this collector".format(found.version)
        )
    return PythonReader(process, found, head)


class PythonReader(Reader):
    """One CPython. ``torn``: readings so far that had to be tried again or were refused because the target was changing."""

    runtime = "python"

    def __init__(self, process: Process, found: locate.Found, head: "Tuple[int, ...]") -> None:
        """``head``: the first words of its ``_PyRuntime``. Raises Refused when neither part can be read."""
        super().__init__()
        self.torn = 0
        self._process = process
        self._memory = process.memory
        self._found = found
        self.facts = {
            "version": found.version or "unknown",
            "image": printable(found.image.path)[:_TEXT_CAP],
            "build_id": found.image.build_id(),
            "sizeof_runtime": found.runtime_bytes,
        }
        self._raw_blocks: Union[int, None] = None  # address
        self._type_type: Union[int, None] = None
        self._table = self._part("gc", partial(self._prove_table, head))
        self._place = self._part("pymalloc", partial(self._tried, self._find_arenas))
        if self._place is not None and self._part("pymalloc", self.walk) is None:
            self._place = None
        if self._place is not None:
            self._complete_shape(self._place)
        if self._table is None and self._place is None:
            raise Refused("CPython {}: {}".format(self.facts["version"], "; ".join(self.missing.values())))

    def counters(self) -> Values:
        """What could be read; raises the last refusal when nothing could."""
        values: Values = {}
        refusal: Union[Refused, None] = None
        for present, reading in ((self._table, self._read_table), (self._place, self._read_arenas)):
            try:
                values.update(self._tried(reading) if present is not None else {})
            except Torn as torn:
                refusal = torn
        if refusal is not None and not values:
            raise refusal
        values[_NAME + "torn"] = self.torn
        return values

    def walk(self) -> Values:
        return self._tried(self._walk)

    def types(self, every: int) -> List[TypeCount]:
        """``every`` 0: all pools, or one of `EVERY_LARGE` where the arenas hold more than `LARGE_BYTES`."""
        return self._tried(lambda: self._types(every))

    # --- attach -------------------------------------------------------------------------------------------------

    def _part(self, name: str, prove: "Callable[[], _T]") -> "_T | None":
        """None, and the reason in `missing`, when it is refused. Raises Unreadable."""
        try:
            return prove()
        except Unreadable:
            raise
        except Refused as reason:
            self.missing[_NAME + name] = str(reason)
            return None

    def _prove_table(self, head: "Tuple[int, ...]") -> _Table:
        found = self._found
        possible = layouts.candidates(layouts.shipped(), found.minor, found.version, found.runtime_bytes, head)
        reasons, proved = [], []
        for layout in possible:
            try:
                self._tried(partial(self._interpreters, layout, strict=True))
                proved.append(layout)
            except Torn as reason:
                reasons.append(str(reason))
        if len(proved) != 1:
            raise Refused(
                "{} layouts of CPython fit: {}".format(len(proved), "; ".join(reasons) or "they cannot be told apart")
            )
        layout = proved[0]
        self.facts["layout"] = "{} ({})".format(
            layout.version,
            "same size" if layout.runtime_bytes == found.runtime_bytes else "as the target describes itself",
        )
        tracing, traced = self._tracemalloc(layout)
        return _Table(found.runtime, layout, tracing, traced)

    def _tracemalloc(self, layout: Layout) -> "Tuple[int | None, int | None]":
        """Exported up to 3.11 (``_Py_tracemalloc_config``: initialized, tracing), later a part of ``_PyRuntime``."""
        tracing, traced = (layout.offsets.get("runtime.tracemalloc_" + name) for name in ("tracing", "traced"))
        if tracing is not None and traced is not None:
            return self._found.runtime + tracing, self._found.runtime + traced
        config = self._found.image.symbol("_Py_tracemalloc_config")
        return (None if config is None else config.address + 4), None

    def _complete_shape(self, place: arenas.Place) -> None:
        """What else can be had where there are arenas."""
        self.facts["pymalloc"] = "{} KiB pools, {} KiB arenas".format(
            place.geometry.pool_bytes >> 10, place.geometry.arena_bytes >> 10
        )
        if self._found.minor is None or self._found.minor >= _COUNTS_RAW_BLOCKS:
            self._raw_blocks = self._part("raw_blocks", partial(self._tried, self._locate_raw_blocks))
        kind = self._found.image.symbol("PyType_Type")
        if kind is None:
            self.missing[_NAME + "types"] = "PyType_Type is not exported"
        else:
            self._type_type = kind.address

    def _find_arenas(self) -> arenas.Place:
        """Where the last process of the same build had them, else searched for: the workers of a pool are searched once."""
        image = self._found.image
        build = str(self.facts["build_id"])
        if build in _PLACES:
            geometry, offsets = _PLACES[build]
            place = arenas.Place(geometry, tuple(image.bias + offset for offset in offsets))
            try:
                arenas.table(self._memory, place)
                return place
            except Torn:
                pass
        spans = pagemap.merged((m.start, m.end) for m in self._process.mappings if m.private_anonymous)
        old_first = self._found.minor is not None and self._found.minor < 0x030A
        geometries = (arenas.SMALL, arenas.LARGE) if old_first else (arenas.LARGE, arenas.SMALL)
        place = arenas.find(self._memory, spans, image.writable, geometries)
        if build and len(_PLACES) < _MOST_PLACES:
            _PLACES[build] = arenas.Place(place.geometry, tuple(slot - image.bias for slot in place.slots))
        return place

    def _locate_raw_blocks(self) -> int:
        """Raises Refused. Proved by what is beside it in ``struct _obmalloc_mgmt`` (pycore_obmalloc.h): the pointer to the
        array, and the numbers of arenas that there are, that were made, and that there were at most."""
        if self._table is None or "obmalloc.raw_blocks" not in self._table.layout.offsets:
            raise Refused("where this build keeps the number of its large blocks is not known")
        offsets = self._table.layout.offsets
        main = self._interpreters(self._table.layout, strict=False)[-1].address
        state = main + offsets["interpreter.obmalloc"]
        if offsets["obmalloc.is_pointer"]:
            state = self._memory.word(state)
        array = self._array()
        number, made, most = self._memory.words(state + offsets["obmalloc.raw_blocks"] - 24, 3)
        if self._memory.word(state + offsets["obmalloc.arenas"]) != array.address or not (
            len(array.arenas) == number <= most <= made
        ):
            raise Torn("the state of the allocator does not agree with the arenas")
        return state + offsets["obmalloc.raw_blocks"]

    # --- readings -----------------------------------------------------------------------------------------------

    def _tried(self, reading: "Callable[[], _T]") -> _T:
        """The first of `TRIES` that is not torn. Raises Torn."""
        for left in range(TRIES - 1, -1, -1):
            try:
                return reading()
            except Torn:
                self.torn += 1
                if not left:
                    raise
        raise AssertionError("not reached")

    def _interpreters(self, layout: Layout, strict: bool) -> List[gc_state.Interpreter]:
        return gc_state.read(self._memory, self._found.runtime, layout, self._process.tasks(), strict)

    def _read_table(self) -> Values:
        """Sums over the interpreters, which each have a collector of their own from 3.9 on; thresholds of the main one."""
        table = self._table
        if table is None:
            return {}
        interpreters = self._interpreters(table.layout, strict=False)
        collectors = interpreters if "interpreter.gc" in table.layout.offsets else interpreters[-1:]
        main = interpreters[-1]
        values = {
            "gc.enabled": min(c.enabled for c in collectors),
            "gc.frozen": max(c.frozen for c in collectors),
            "gc.uncollectable": sum(sum(c.uncollectable) for c in collectors),
            "threads": sum(i.threads for i in interpreters),
            "interpreters": len(interpreters),
        }
        for k in range(gc_state.GENERATIONS):
            values["gc.count{}".format(k)] = sum(c.counts[k] for c in collectors)
            values["gc.threshold{}".format(k)] = main.thresholds[k]
            values["gc.collections{}".format(k)] = sum(c.collections[k] for c in collectors)
            values["gc.collected{}".format(k)] = sum(c.collected[k] for c in collectors)
        if "interpreter.obmalloc" in table.layout.offsets:
            values["isolated_interpreters"] = self._isolated(table.layout.offsets, interpreters)
        values.update(self._read_tracemalloc(table))
        return {_NAME + name: value for name, value in values.items()}

    def _isolated(self, offsets: "Dict[str, int]", interpreters: "List[gc_state.Interpreter]") -> int:
        """Number of interpreters with arenas of their own (3.12+), which `walk` does not see."""
        states = [i.address + offsets["interpreter.obmalloc"] for i in interpreters]
        if offsets["obmalloc.is_pointer"]:
            states = [self._memory.word(state) for state in states]
        own = {state for state in states if state} - {states[-1]}  # the main interpreter is the last
        return sum(self._memory.word(state + offsets["obmalloc.arenas"]) != 0 for state in own)

    def _read_tracemalloc(self, table: _Table) -> "Dict[str, int]":
        if table.tracing is None:
            return {}
        initialized, tracing, frames = struct.unpack("<3i", self._memory.read(table.tracing - 4, 12))
        if initialized not in (0, 1, 2) or tracing not in (0, int(initialized == 1)) or frames < 1:
            return {}
        values = {"tracemalloc.enabled": int(tracing)}
        if table.traced is not None:
            now, peak = self._memory.words(table.traced, 2)
            if now <= peak:
                values["tracemalloc.traced"] = now
        return values

    def _shape(self) -> arenas.Place:
        if self._place is None:
            raise Refused(self.missing[_NAME + "pymalloc"])
        return self._place

    def _array(self) -> arenas.Array:
        """The arenas as they are now; searched for again when no global that pointed at them does any more. Raises Torn."""
        try:
            return arenas.table(self._memory, self._shape())
        except Torn:
            self._process.reload()
            self._place = self._find_arenas()
            return arenas.table(self._memory, self._place)

    def _read_arenas(self) -> Values:
        values = {_NAME + "arenas": arenas.count(self._memory, self._shape())}
        if self._raw_blocks is not None:
            values[_NAME + "raw_blocks"] = self._memory.word(self._raw_blocks)
        return values

    def _walk(self) -> Values:
        found = self._array().arenas
        geometry = self._shape().geometry
        sums = arenas.occupancy(self._memory, found, geometry)
        values = {
            "held": sums.held_bytes,
            "live": sums.live_bytes,
            "blocks": sums.blocks,
            "pools": sums.pools,
            "free_pools": sums.free_pools,
            "torn": sums.torn,
        }
        try:
            ranges = ((a.address, a.address + geometry.arena_bytes) for a in found)
            values["resident"] = pagemap.resident(self._process.mount, self._process.pid, ranges)
        except OSError as error:
            self.missing.setdefault(_NAME + "pymalloc.resident", why(error, "/proc/PID/pagemap"))
        return {_NAME + "pymalloc." + name: value for name, value in values.items()}

    def _types(self, every: int) -> List[TypeCount]:
        if self._type_type is None:
            raise Refused(self.missing[_NAME + "pymalloc" if self._place is None else _NAME + "types"])
        self._process.reload()
        found = self._array().arenas
        geometry = self._shape().geometry
        if every <= 0:
            every = EVERY_LARGE if len(found) * geometry.arena_bytes > LARGE_BYTES else 1
        return census.take(self._memory, self._process.mappings, found, geometry, self._type_type, every)
