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
GROWING = 8  # types whose new objects are looked at
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
        for name in _worth_a_look(order, growth)[:GROWING]:
            search.look(name)
        return {
            "types": rows[:TYPES],
            "types_total": len(rows),
            "objects": sum(after.values()),
            "growth": sum(growth.values()),
            "chains": search.chains,
            "samples": SAMPLES,
            "without_chain": sum(search.without.values()),
            "without_chain_types": [_short(name) for name in search.without],
            "only_new": self._only_new,
            "search_complete": search.complete,
        }


def _worth_a_look(order, growth):
    """Types that grew, ``module.name`` as objgraph writes them: those of the application and its packages first, then the
    others. One more of these is often the server's or ours."""
    foreign = {name for name in order if growth[name] > 0 and naming.is_foreign(name.rpartition(".")[0])}
    return [name for name in order if name in foreign] + [
        name for name in order if growth[name] > 1 and name not in foreign
    ]


def _short(name):
    name = name[: naming.NAME_CAP]
    return name[9:] if name.startswith("builtins.") else name


class _OutOfTimeError(Exception):
    pass


class _Search:
    """Chains from modules, else from the variables of running functions, to some of the objects that a request left."""

    def __init__(self, objgraph, found):
        self._objgraph = objgraph
        self._found = found
        self._until = time.monotonic() + SEARCH_S
        # Not left to objgraph: from 3.11 on the collector does not know the frames that run.
        self._variables = holders.running_variables()
        self.chains: "list[dict[str, object]]" = []
        self.complete = True
        self.without: "dict[str, int]" = {}  # by type, samples to which nothing led

    def look(self, name):
        """Add the chains of one type."""
        things = self._objgraph.by_type(name, self._found)
        samples = things[-SAMPLES:]  # the youngest
        merged: "dict[object, dict[str, object]]" = {}
        for n in range(len(samples)):
            try:
                nodes = self._chain(samples[n], [id(self._found), id(things), id(samples)])
            except _OutOfTimeError:
                self.complete = False
                break
            if len(nodes) < 2:
                self.without[name] = self.without.get(name, 0) + 1
                continue
            steps = holders.describe(nodes)
            found = merged.setdefault(
                tuple(step[0] for step in steps),
                {"type": _short(name), "objects": 0, "path": [step[1] for step in steps]},
            )
            found["objects"] += 1  # type: ignore[operator]  # an int, between texts and lists
        self.chains += merged.values()

    def _chain(self, thing, ignored):
        """The way to a thing: from a module, else from a running function; [thing] where neither leads to it."""
        find = self._objgraph.find_backref_chain
        ignored += [id(self._variables), *_frame_ids()]
        nodes = find(thing, self._is_module, DEPTH, ignored)
        if len(nodes) > 1:
            return nodes
        nodes = find(thing, self._is_variable, DEPTH, ignored)
        frame = self._variables.get(id(nodes[0]))
        return nodes if frame is None else [frame, *nodes]

    def _is_module(self, thing):
        self._look_at_clock()
        return naming.is_kind(thing, type(sys)) and self._objgraph.is_proper_module(thing)

    def _is_variable(self, thing):
        self._look_at_clock()
        return id(thing) in self._variables

    def _look_at_clock(self):
        if time.monotonic() > self._until:
            raise _OutOfTimeError


def _frame_ids():
    ids = []
    frame: "FrameType | None" = sys._getframe()
    while frame is not None:
        ids.append(id(frame))
        frame = frame.f_back
    return ids
