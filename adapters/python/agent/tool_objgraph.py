"""objgraph for one request: how many objects of each type there were before and after, and what holds some of the new ones.

The genuine package counts and searches, in copies of the process: here it would take a tenth of a second and unshare the heap.
"""

import gc
import json
import sys
import time
from types import FrameType

from . import holders, naming, snapshot, toolpath
from .aside import Aside

TYPES = 200
KINDS_IN_COPY = 20_000
GROWING = 5  # types whose new objects are looked at
SAMPLES = 2  # of each
DEPTH = 20  # references from a sample back to a module; objgraph's own default
SEARCH_S = 25.0


class Tool:
    """``start`` before the request, ``stop`` once the application has let go of it, ``later`` in a copy."""

    name = "objgraph"
    descriptors: "tuple[int, ...]" = ()

    def __init__(self, recorder, options):
        with toolpath.lend("objgraph"):
            import objgraph
        self._objgraph = objgraph
        self._recorder = recorder
        self._aside = Aside(recorder)
        self._found: "list[object]" = []
        self._only_new = True
        self.later = self._compare

    def start(self):
        """Count in a copy, then put aside what is there, so that garbage of earlier requests is not taken for a decrease."""
        self.descriptors = (snapshot.ask(self._recorder, lambda: json.dumps(self._stats()).encode()),)
        # Where the application has frozen a heap of its own nothing is put aside, and what is found then may be older.
        self._only_new = gc.get_freeze_count() <= self._recorder.frozen_at_boot
        self._aside.begin()

    def checkpoint(self):
        """Nothing to note before the end."""

    def stop(self):
        """An empty result: `later` fills it in."""
        try:
            gc.collect()
            self._found = gc.get_objects()
        finally:
            self._aside.end()
        return {}

    def abandon(self):
        """Let go of everything; also in a child that was forked meanwhile."""
        self._aside.end()
        self._found = []
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            snapshot.close(descriptor)

    def _stats(self):
        """{type: objects}. In a copy, where what is frozen may be thawed: objgraph does not see it otherwise."""
        gc.unfreeze()
        stats = self._objgraph.typestats(shortnames=False)
        own = __name__.rpartition(".")[0] + "."
        kept = {name: count for name, count in stats.items() if not name.startswith(own)}
        return dict(sorted(kept.items(), key=lambda item: item[1], reverse=True)[:KINDS_IN_COPY])

    def _compare(self):
        found, self._found = self._found, []
        after = self._stats()
        before = json.loads(snapshot.answer(self.descriptors[0]))
        growth = {name: after.get(name, 0) - before.get(name, 0) for name in {*before, *after}}
        order = sorted(growth, key=lambda name: (growth[name], after.get(name, 0)), reverse=True)
        rows = [
            {"type": _short(name), "count": after.get(name, 0), "growth": growth[name]}
            for name in order
            if growth[name]
        ]
        search = _Search(self._objgraph, found)
        for name in [name for name in order if growth[name] > 1][:GROWING]:  # one more is often the server's or ours
            search.look(name)
        return {
            "types": rows[:TYPES],
            "types_total": len(rows),
            "objects": sum(after.values()),
            "growth": sum(growth.values()),
            "chains": search.chains,
            "samples": SAMPLES,
            "without_chain": search.without,
            "only_new": self._only_new,
            "search_complete": search.complete,
        }


def _short(name):
    name = name[: naming.NAME_CAP]
    return name[9:] if name.startswith("builtins.") else name


class _OutOfTimeError(Exception):
    pass


class _Search:
    """Chains from modules to some of the objects that a request left."""

    def __init__(self, objgraph, found):
        self._objgraph = objgraph
        self._found = found
        self._until = time.monotonic() + SEARCH_S
        self.chains: "list[dict[str, object]]" = []
        self.complete = True
        self.without = 0  # samples that no module holds

    def look(self, name):
        """Add the chains of one type."""
        things = self._objgraph.by_type(name, self._found)
        samples = things[-SAMPLES:]  # the youngest
        merged: "dict[object, dict[str, object]]" = {}
        for n in range(len(samples)):
            ignored = [id(self._found), id(things), id(samples), *_frame_ids()]
            try:
                nodes = self._objgraph.find_backref_chain(samples[n], self._is_module, DEPTH, ignored)
            except _OutOfTimeError:
                self.complete = False
                break
            if len(nodes) < 2:
                self.without += 1  # a frame or C code holds it
                continue
            steps = holders.describe(nodes)
            found = merged.setdefault(
                tuple(step[0] for step in steps),
                {"type": _short(name), "objects": 0, "path": [step[1] for step in steps]},
            )
            found["objects"] += 1  # type: ignore[operator]  # an int, between texts and lists
        self.chains += merged.values()

    def _is_module(self, thing):
        if time.monotonic() > self._until:
            raise _OutOfTimeError
        return naming.is_kind(thing, type(sys)) and self._objgraph.is_proper_module(thing)


def _frame_ids():
    ids = []
    frame: "FrameType | None" = sys._getframe()
    while frame is not None:
        ids.append(id(frame))
        frame = frame.f_back
    return ids
