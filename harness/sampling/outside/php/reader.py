"""PHP in one process, found and verified."""

from __future__ import annotations

import re
from typing import List, Tuple

from ...reading import process_directory, read_file, why
from .. import pagemap
from ..image import Image
from ..process import Process
from ..reader import Reader, TypeCount, Values
from ..refusal import Refused, Torn, Unreadable
from . import collector
from .chunk import Chunks
from .heap import CHUNK_BYTES, Books, Heap, main_chunks, places
from .objects import LEAST_STORE_BYTES, Objects
from .probe import HeapProbe
from .shared import ApcuSegment, OpcacheSegment, find_apcu, find_opcache

_PHP = re.compile(r"/(php[^/]*|libphp[^/]*\.so|mod_php[^/]*\.so)( \(deleted\))?$")
# In the text of the header that PHP sends with its answers.
_VERSION = re.compile(rb"X-Powered-By: PHP/([0-9A-Za-z.+~-]{3,40})")
_TRIES = 4
_MOST_BYTES = 64 << 30  # whose pages are looked at


class Php(Reader):
    """Parts that are not to be had in this process are in ``missing``, by the start of their names."""

    runtime = "php"

    def __init__(self, process: Process, image: Image, heap: Heap) -> None:
        super().__init__()
        self._process = process
        self._memory = process.memory
        self._heap = heap
        self._chunks = Chunks(self._memory, heap.main_chunk, heap.address)
        self._gc_globals: "int | None" = None
        self._objects: "Objects | None" = None
        self._opcache: "OpcacheSegment | None" = None
        self._apcu: "ApcuSegment | None" = None
        self._find_collector(image)
        self._executor_globals = image.symbol("executor_globals")
        self._find_shared()
        self.facts["version"] = image.text(_VERSION) or "unknown"
        self.facts["heap.real_size"] = 8 * heap.shape.real
        self.facts["heap.main_chunk"] = 8 * heap.shape.main_chunk

    def probe(self) -> HeapProbe:
        """For sampling the heap much faster than everything else."""
        return HeapProbe(self._memory, self._heap)

    def counters(self) -> Values:
        """Parts that are in change this time are left out. Raises Torn when the heap is: the rest alone says little."""
        return self._values(self._heap.read())

    def walk(self) -> Values:
        """Raises Torn."""
        if self._opcache is None or self._apcu is None:  # both come up after the heap
            self._process.reload()
            self._find_shared()
        for attempt in range(_TRIES):
            try:
                before = self._heap.read()
                capacity, free_pages = self._chunks.use(before.chunks)
                books = self._heap.read()
                huge = self._heap.huge_blocks(books)
                in_runs = capacity + books.huge - books.size
                if books.chunks != before.chunks or in_runs < 0:
                    raise Torn("php: the heap grew or shrank during the walk")
            except Torn:
                if attempt == _TRIES - 1:
                    raise
                continue
            values = self._values(books)
            values["runtime.php.heap.free_pages"] = free_pages
            values["runtime.php.heap.free_in_runs"] = in_runs
            values.update(self._resident(books, huge))
            return values
        raise AssertionError("not reached")

    def _resident(self, books: Books, huge: "List[Tuple[int, int]]") -> Values:
        """Bytes of the heap that are in memory. What is read here of a chunk was touched by PHP before, so pagemap tells;
        chunks that are kept for later count whole."""
        ranges = [*huge, *((at, at + CHUNK_BYTES) for at in self._chunks.places)]
        if books.real > _MOST_BYTES or any(
            start % pagemap.PAGE or end % pagemap.PAGE or end >> 47 for start, end in ranges
        ):
            return {}  # not blocks that mmap() gave
        try:
            in_use = pagemap.resident(self._process.mount, self._process.pid, ranges)
        except OSError as error:
            self.missing.setdefault("runtime.php.heap.resident", why(error, "/proc/PID/pagemap"))
            return {}
        return {"runtime.php.heap.resident": in_use + books.cached * CHUNK_BYTES}

    def types(self, every: int) -> List[TypeCount]:
        """Objects by class; none between two requests of a server. Raises Refused."""
        if self._objects is None:
            if self._heap.read().size < LEAST_STORE_BYTES:
                return []
            if self._executor_globals is None:
                raise Refused("php: executor_globals is not exported")
            self._objects = Objects(self._memory, self._heap, self._chunks, self._executor_globals)
            self.facts["executor_globals.objects_store"] = self._objects.offset
        return self._objects.count(every)

    def _values(self, books: Books) -> Values:
        values: Values = {
            "runtime.php.heap.size": books.size,
            "runtime.php.heap.peak": books.peak,
            "runtime.php.heap.real": books.real,
            "runtime.php.heap.real_peak": books.real_peak,
            "runtime.php.heap.chunks": books.chunks,
            "runtime.php.heap.cached_chunks": books.cached,
            "runtime.php.heap.huge": books.huge,
        }
        for part in (self._collector, self._opcache_values, self._apcu_values):
            try:
                values.update(part())
            except Torn:
                continue
        return values

    def _collector(self) -> Values:
        if self._gc_globals is None:
            return {}
        state = collector.read(self._memory, self._gc_globals)
        return {
            "runtime.php.gc.roots": state.roots,
            "runtime.php.gc.runs": state.runs,
            "runtime.php.gc.collected": state.collected,
            "runtime.php.gc.threshold": state.threshold,
            "runtime.php.gc.enabled": int(state.enabled),
        }

    def _opcache_values(self) -> Values:
        if self._opcache is None:
            return {}
        state = self._opcache.read()
        return {
            "runtime.php.opcache.size": state.size,
            "runtime.php.opcache.free": state.free,
            "runtime.php.opcache.wasted": state.wasted,
            "runtime.php.opcache.full": int(state.full),
            "runtime.php.opcache.hits": state.hits,
            "runtime.php.opcache.misses": state.misses,
            "runtime.php.opcache.restarts": state.restarts,
        }

    def _apcu_values(self) -> Values:
        if self._apcu is None:
            return {}
        state = self._apcu.read()
        return {"runtime.php.apcu.size": state.size, "runtime.php.apcu.free": state.free}

    def _find_collector(self, image: Image) -> None:
        try:
            address = collector.locate(self._memory, image)
            collector.read(self._memory, address)
            self._gc_globals = address
        except Unreadable:
            raise
        except Refused as refusal:
            self.missing["runtime.php.gc"] = str(refusal)

    def _find_shared(self) -> None:
        self._opcache = find_opcache(self._memory, self._process.mappings)
        self._apcu = find_apcu(self._memory, self._process.mappings, self._opcache)
        for signal, found in (("runtime.php.opcache", self._opcache), ("runtime.php.apcu", self._apcu)):
            self.missing.pop(signal, None)
            if found is None:
                self.missing[signal] = "php: it is not switched on in this process, or its segment is not known"


def attach(process: Process) -> "Php | None":
    """None when no PHP is loaded. Raises Refused when it is one that cannot be read, Torn when it may only be starting or was
    too busy."""
    images = process.images(lambda path: bool(_PHP.search(path)))
    if any(image.symbol("executor_globals_offset") for image in images):
        raise Refused("php: a build for threads (ZTS), which has a heap for each")
    image = next((image for image in images if image.symbol("executor_globals")), None)
    if image is None:
        return None
    found: List[int] = []
    candidates = places(process.mappings)
    for _ in range(_TRIES):
        found = main_chunks(process.memory, candidates)
        if len(found) == 1:
            return Php(process, image, Heap(process.memory, found[0]))
    if _without_heap(process):
        raise Refused("php: USE_ZEND_ALLOC=0 is set, so there is no Zend heap; its memory is malloc's")
    raise Torn("php: {} Zend heaps found: it is starting, or it uses another allocator".format(len(found)))


def _without_heap(process: Process) -> bool:
    """Whether its environment says what zend_alloc.c asks for: atoi() of the variable is 0."""
    try:
        environment = read_file(process_directory(process.mount, process.pid) + "/environ")
    except OSError:
        return False
    value = next((v for v in environment.split(b"\0") if v.startswith(b"USE_ZEND_ALLOC=")), None)
    return value is not None and not re.match(rb"\s*[+-]?0*[1-9]", value.partition(b"=")[2])
