"""Objects that were born in a request and are still alive after it, by type, and what holds them.

Everything that was there before is put aside (`gc.freeze`), so what the collector still knows after a collection is what the
request left. That takes a millisecond or two; counting and the search for holders happen in a copy of the process.
"""

import gc
import sys

from . import garbage, naming
from .aside import Aside
from .holders import Heap
from .results import ToolError

TYPES = 200
TYPES_WITH_CHAINS = 20
SAMPLES = 100  # of each such type
CHAINS = 5  # of each such type
SEARCH_S = 40.0
BUFFER_BYTES = 1024  # smaller strings are names and the like, which are older than the request more often than not
_BOOKKEEPING = "hamt"  # made anew whenever a context variable is set, and our gate sets one
_BUFFERS = (bytes, bytearray, str)


class Tool:
    """``start`` before the request, ``stop`` once the application has let go of it, ``later`` in a copy.

    Option ``garbage``: nothing is collected before the end, and what the collection there finds is told as well.
    """

    name = "survivors"
    descriptors: "tuple[int, ...]" = ()

    def __init__(self, recorder, options):
        self._recorder = recorder
        self._aside = Aside(recorder)
        self._found: "list[object]" = []
        self._uncollected = garbage.Uncollected(options)
        self._garbage: "list[object]" = []
        self.later = self._count

    def start(self):
        if gc.get_freeze_count() > self._recorder.frozen_at_boot:
            raise ToolError(
                "the application has frozen its own heap (gc.freeze), and what a request left cannot be told from the rest "
                "without thawing that; use tracemalloc or objgraph"
            )
        self._aside.begin()
        self._uncollected.begin()

    def checkpoint(self):
        """Nothing to note before the end."""

    def stop(self):
        """An empty result: `later` fills it in."""
        try:
            if self._uncollected.wanted:
                self._garbage = garbage.take()
                everything = gc.get_objects()  # before what sorts it exists
                in_cycles = {id(thing) for thing in self._garbage}
                self._found = [thing for thing in everything if id(thing) not in in_cycles]
            else:
                gc.collect()
                self._found = gc.get_objects()
        finally:
            self._uncollected.end()
            self._aside.end()
        return {}

    def abandon(self):
        """Let go of everything; also in a child that was forked meanwhile."""
        self._uncollected.end()
        self._aside.end()
        self._found = []
        self._garbage = []

    def _count(self):
        answer = report(self._found)
        if self._uncollected.wanted:
            answer["garbage"] = report_garbage(self._garbage)
        return answer


def report(found):
    """Result dict for a list of objects. In a copy: it looks at everything."""
    heap = Heap((found,), SEARCH_S)
    attributes = _attribute_dicts(found)
    groups: "dict[str, Group]" = {}
    for thing in found:
        if id(thing) in attributes or heap.is_ours(thing):
            continue
        name = naming.type_name(type(thing))
        if name.startswith(_BOOKKEEPING):
            continue
        group = groups.get(name)
        if group is None:
            group = groups[name] = Group(naming.is_foreign(naming.module_of(type(thing))))
        group.add(thing)
    largest = sorted(groups.items(), key=lambda item: item[1].rank(), reverse=True)
    chains = []
    for name, group in largest[:TYPES_WITH_CHAINS]:
        chains += [{"type": name, **chain} for chain in heap.chains(spread(group.things, SAMPLES), CHAINS)]
    return {
        "objects": sum(group.count for group in groups.values()),
        "bytes": sum(group.bytes for group in groups.values()),
        "buffer_bytes": sum(group.buffer_bytes for group in groups.values()),
        "types_total": len(groups),
        "types": [
            {"type": name, "count": g.count, "bytes": g.bytes, "buffer_bytes": g.buffer_bytes}
            for name, g in largest[:TYPES]
        ],
        "chains": chains,
        "samples": SAMPLES,
        "search_complete": heap.complete,
    }


def report_garbage(found):
    """Result dict for a list of garbage, with a circle of references for each of the largest types that are in one."""
    among = {id(thing) for thing in found}
    attributes = _attribute_dicts(found)
    groups: "dict[str, Group]" = {}
    for thing in found:
        if id(thing) not in attributes:
            name = naming.type_name(type(thing))
            if name not in groups:
                groups[name] = Group(naming.is_foreign(naming.module_of(type(thing))))
            groups[name].add(thing)
    largest = sorted(groups.items(), key=lambda item: item[1].rank(), reverse=True)
    cycles = []
    for name, group in largest[:TYPES_WITH_CHAINS]:
        path = next(filter(None, (garbage.circle(thing, among) for thing in spread(group.things, CHAINS))), None)
        if path is not None:
            cycles.append({"type": name, "objects": group.count, "path": path})
    return {
        "objects": sum(group.count for group in groups.values()),
        "bytes": sum(group.bytes for group in groups.values()),
        "types": [
            {"type": name, "count": g.count, "bytes": g.bytes, "buffer_bytes": g.buffer_bytes}
            for name, g in largest[:TYPES]
        ],
        "cycles": cycles,
    }


class Group:
    """Objects of one type. ``bytes``: of the objects and their attributes' dictionaries; ``buffer_bytes``: of the strings and
    byte strings they refer to, each once."""

    __slots__ = ("buffer_bytes", "bytes", "count", "foreign", "seen", "things")

    def __init__(self, foreign=False):
        self.foreign = foreign
        self.count = self.bytes = self.buffer_bytes = 0
        self.things: "list[object]" = []
        self.seen: "set[int]" = set()

    def rank(self):
        """Larger is more worth a look: by power of two of all its bytes, and of those alike the application's types first."""
        taken = self.bytes + self.buffer_bytes
        return taken.bit_length(), self.foreign, taken, self.count

    def add(self, thing):
        self.count += 1
        self.things.append(thing)
        self.bytes += size(thing)
        found = gc.get_referents(thing)
        attributes = naming.namespace(thing) if not naming.is_kind(thing, type) else None
        if attributes is not None:
            self.bytes += size(attributes)
            found += dict.values(attributes)
        for each in found:
            if type(each) in _BUFFERS and id(each) not in self.seen:
                self.seen.add(id(each))
                taken = size(each)
                if taken >= BUFFER_BYTES:
                    self.buffer_bytes += taken


def size(thing):
    """`sys.getsizeof`, 0 where a class's own ``__sizeof__`` fails."""
    try:
        found = sys.getsizeof(thing, 0)
    except Exception:
        return 0
    return found if 0 <= found < 1 << 50 else 0


def spread(things, most):
    """At most that many of them, evenly from the whole list."""
    return [things[n * len(things) // most] for n in range(most)] if len(things) > most else things


def _attribute_dicts(found):
    """Ids of the dictionaries among them that are an object's attributes: they count with it."""
    dicts = {id(thing) for thing in found if type(thing) is dict}
    ids = set()
    for thing in found:
        if type(thing) is not dict:
            for each in gc.get_referents(thing):
                if id(each) in dicts and not naming.is_kind(thing, type) and naming.namespace(thing) is each:
                    ids.add(id(each))
    return ids
