"""Why objects are still there: a shortest path of references to each from what never dies, equal paths merged.

One pass from the roots, breadth first, over `gc.get_referents`: modules, context variables, the frames of the thread that
forked. Its cost does not depend on how many objects are asked for. Weak references do not hold and are not followed. To be used
in a copy of the process.
"""

import gc
import sys
import time
from _thread import _local as _thread_local
from collections import deque
from contextvars import copy_context
from types import CellType, CodeType, FrameType, FunctionType
from typing import Any

from . import naming

_PACKAGE = __name__.rpartition(".")[0]
_WRAPPERS = ("Application", "AsyncApplication")  # of ours, but what they hold is the application's
_ATOMS = (str, int, bytes, float, complex, bool, type(None), bytearray, range, CodeType)
_HEAD, _TAIL = 24, 8  # nodes of a long path that are named
UNSEEN = "not to be seen: a variable of another thread, or C code"
_LOOK_AT_CLOCK = 1024


class Heap:
    """What holds what. ``hidden``: objects of the caller's that must not count as holders."""

    def __init__(self, hidden=(), limit_s=30.0):
        everything = gc.get_objects()  # before anything of this search exists
        self.complete = True
        self._until = time.monotonic() + limit_s
        self._labels: "dict[int, str]" = {}  # of roots that are not named after what they are
        self._before: "dict[int, object]" = {id(thing): None for thing in (*hidden, everything)}
        self._ours: "dict[int, object]" = {}
        self._beyond: "dict[int, object]" = {}
        own_modules = _own_modules()
        for module in own_modules:
            self._before[id(module)] = self._before[id(naming.namespace(module))] = None
        skip = {id(kind) for kind in _ATOMS}
        self._walk(self._roots(own_modules), self._before, skip | _own_types(own_modules))
        self._ours.update(dict.fromkeys(self._before))
        self._walk(_frames(True), self._ours, skip)
        self._link_unreached(everything)

    def is_ours(self, thing):
        """Whether only this agent holds it."""
        return id(thing) in self._ours and id(thing) not in self._before

    def _roots(self, own_modules):
        ours = {id(module) for module in own_modules}
        roots: "list[object]" = []
        for name, module in naming.module_items():
            if id(module) not in ours:
                self._labels.setdefault(id(module), "module %s" % name)
                roots.append(module)
        variables = _context_variables()
        self._labels[id(variables)] = "context variables"
        roots += [variables, copy_context()]
        roots.extend(_frames(False))
        self._keep = roots  # an id must stay theirs
        return roots

    def _walk(self, roots, before, skip):
        """Note for everything that can be reached which object led there first."""
        queue: "deque[object]" = deque()
        for root in roots:
            if id(root) not in before and id(type(root)) not in skip:
                before[id(root)] = None
                queue.append(root)
        refers, left = gc.get_referents, _LOOK_AT_CLOCK
        while queue:
            thing = queue.popleft()
            left -= 1
            if not left:
                left = _LOOK_AT_CLOCK
                if time.monotonic() > self._until:
                    self.complete = False
                    return
            found = refers(thing)
            if naming.is_kind(thing, _thread_local):
                found.append(naming.namespace(thing))
            elif type(thing) is FrameType:
                found += _locals(thing)  # running ones do not show them to the collector from 3.11 on
            for each in found:
                key = id(each)
                if key not in before and id(type(each)) not in skip:
                    before[key] = thing
                    queue.append(each)

    def _link_unreached(self, everything):
        """What no root led to may at least lead to each other: a generator to its variables, say."""
        unreached = {id(thing): thing for thing in everything if id(thing) not in self._ours}
        for thing in unreached.values():
            for each in gc.get_referents(thing):
                if id(each) in unreached and each is not thing:
                    self._beyond.setdefault(id(each), thing)

    def path(self, thing):
        """(root's label or "", things from the root to this one)."""
        nodes = [thing]
        seen = {id(thing)}
        before = self._before if id(thing) in self._before else self._beyond
        while True:
            holder = before.get(id(nodes[-1]))
            if holder is None or id(holder) in seen:
                break
            seen.add(id(holder))
            nodes.append(holder)
        nodes.reverse()
        return (self._labels.get(id(nodes[0]), "") if before is self._before else UNSEEN), nodes

    def chains(self, things, cap):
        """The paths to these things, most frequent first: [{"objects": n, "path": [[label, via], ...]}]."""
        merged: "dict[object, list[Any]]" = {}
        for thing in things:
            root, nodes = self.path(thing)
            steps = describe(nodes, root)
            found = merged.setdefault(tuple(step[0] for step in steps), [0, [step[1] for step in steps]])
            found[0] += 1
        return [
            {"objects": count, "path": path}
            for count, path in sorted(merged.values(), key=lambda each: each[0], reverse=True)[:cap]
        ]


# --- words -----------------------------------------------------------------------------------------------------------


def describe(nodes, root=""):
    """Steps of a path: [(what equal paths have in common, [label, via])]. Dictionaries that are attributes of the node before
    them, and closures, are not steps of their own; what repeats is told once."""
    steps = []
    if root == UNSEEN:
        steps.append((root, [root, ""]))
        root = ""
    if len(nodes) > _HEAD + _TAIL:
        steps += _steps(nodes[: _HEAD + 1], root)[:-1]
        steps.append(("more", ["%d more objects" % (len(nodes) - _HEAD - _TAIL), ""]))
        steps += _steps(nodes[-_TAIL:], "")
    else:
        steps += _steps(nodes, root)
    return _fold(steps)


def _steps(nodes, root):
    steps = []
    at = 0
    while at < len(nodes) - 1:
        taken, via, anywhere = _leave(nodes, at)
        name = root if not at and root else ""
        common = (name or naming.shape(nodes[at]), "" if anywhere else via)
        steps.append((common, [name or naming.label(nodes[at]), via]))
        at += taken
    last = nodes[-1]
    name = root if len(nodes) == 1 and root else ""
    steps.append(((name or naming.shape(last), ""), [name or naming.label(last), ""]))
    return steps


def _leave(nodes, at):
    """(nodes that this step covers, via, whether only the position tells such references apart)."""
    holder, held = nodes[at], nodes[at + 1]
    rest = len(nodes) - 1 - at
    if rest >= 2 and naming.is_kind(held, dict) and naming.namespace(holder) is held:
        return 2, naming.attribute_name(held, nodes[at + 2]) or "a name", False
    if type(holder) is FunctionType and rest >= 3 and held is holder.__closure__ and type(nodes[at + 2]) is CellType:
        return 3, "closure variable %s" % naming.closure_name(holder, nodes[at + 2]), False
    via, anywhere = naming.reference(holder, held)
    return 1, via, anywhere


def _fold(steps):
    """Repetitions of one to three steps (linked lists, trees) once, with a step that says how often."""
    folded = []
    at = 0
    while at < len(steps):
        for size in (1, 2, 3):
            block = [step[0] for step in steps[at : at + size]]
            times = 1
            while [step[0] for step in steps[at + times * size : at + (times + 1) * size]] == block:
                times += 1
            if times > 2 and len(block) == size:
                folded += steps[at : at + size]
                folded.append(("again", ["the same %d more times" % (times - 1), ""]))
                at += times * size
                break
        else:
            folded.append(steps[at])
            at += 1
    return folded


# --- roots -----------------------------------------------------------------------------------------------------------


def _own_modules():
    return [m for name, m in naming.module_items() if name == _PACKAGE or name.startswith(_PACKAGE + ".")]


def _own_types(own_modules):
    found = set()
    for module in own_modules:
        for name, value in dict.items(naming.namespace(module)):
            if naming.is_kind(value, type) and value.__module__ == module.__name__ and name not in _WRAPPERS:
                found.add(id(value))
    return found


def _frames(ours):
    """The frames of this thread that are, or are not, the agent's."""
    found = []
    frame: "FrameType | None" = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__")
        own = type(name) is str and (name == _PACKAGE or name.startswith(_PACKAGE + "."))
        if own is ours:
            found.append(frame)
        frame = frame.f_back
    return found


def running_variables():
    """{id of what a variable of a running function of this thread holds: that function's frame}; the agent's own do not count."""
    return {id(value): frame for frame in _frames(False) for value in _locals(frame) if type(value) not in _ATOMS}


def _locals(frame):
    try:
        return list(dict(frame.f_locals).values()) if naming.is_usable(frame) else []
    except Exception:
        return []


def _context_variables():
    return {variable.name: value for variable, value in copy_context().items()}
