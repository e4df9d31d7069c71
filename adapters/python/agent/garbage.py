"""Garbage in cycles: what a request leaves for the collector, and the references that go in a circle there."""

import gc
from collections import deque

from . import naming
from .holders import describe

_LOOKED_AT = 20_000  # objects on the search for one circle


class Uncollected:
    """Where the option ``garbage`` asks for it: the collector does not run by itself until the end of the request."""

    def __init__(self, options):
        self.wanted = options.get("garbage") == "1"
        self._stopped = False

    def begin(self):
        if self.wanted and gc.isenabled():
            gc.disable()
            self._stopped = True

    def end(self):
        """Let it run again, if it did before."""
        if self._stopped:
            self._stopped = False
            gc.enable()


def take():
    """Collect, and have the garbage instead of losing it. What it refers to lives as long as the list."""
    flags, before = gc.get_debug(), len(gc.garbage)
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = gc.garbage[before:]
    finally:
        gc.set_debug(flags)
        del gc.garbage[before:]
    return found


def circle(thing, among):
    """The shortest way of references from a thing back to itself through things whose ids are ``among``: [[label, via], ...],
    the thing at both ends; None where there is none, or none is found soon."""
    before: "dict[int, object]" = {}
    queue = deque([thing])
    left = _LOOKED_AT
    while queue and left:
        holder = queue.popleft()
        for each in gc.get_referents(holder):
            key = id(each)
            if each is thing:
                return _steps(thing, holder, before)
            if key not in before and (key in among or _is_namespace(each, holder)):
                before[key] = holder
                queue.append(each)
                left -= 1
                if not left:
                    return None
    return None


def _is_namespace(thing, holder):
    """Whether it is the dictionary of an object's attributes, which need not have been there when the garbage was found."""
    return type(thing) is dict and not naming.is_kind(holder, type) and naming.namespace(holder) is thing


def _steps(thing, last, before):
    nodes = [thing]
    while last is not thing:
        nodes.append(last)
        last = before[id(last)]
    nodes.append(thing)
    nodes.reverse()
    return [step[1] for step in describe(nodes)]
