"""The cyclic collector's state, the interpreters and their threads: the table part.

Structures: ``struct _gc_runtime_state`` (pycore_gc.h; pycore_pymem.h in 3.8), ``PyInterpreterState`` and ``PyThreadState``
(pystate.h).

What is read is only believed when it hangs together: the lists of the older generations and of the frozen objects lead
back to their heads, every thread says which interpreter it belongs to and which thread is before it, switches are 0 or 1.
The youngest list is left out: a running program changes it all the time.
"""

from __future__ import annotations

import struct
from typing import List, NamedTuple, Set, Tuple

from ..memory import Memory
from ..refusal import Torn
from .layouts import Layout

GENERATIONS = 3
_GENERATION_BYTES = 24  # struct gc_generation: head (next, previous), threshold, count
_FLAGS = 3  # of the collector, in the lowest bits of "previous"
_MOST_INTERPRETERS = 256
_MOST_THREADS = 1 << 14
_EARLY_THREADS = 4  # states of threads that are being made or have just ended
_LARGEST_COUNT = 1 << 40  # less than most addresses

Triple = Tuple[int, int, int]


class Interpreter(NamedTuple):
    """One interpreter of the process. In 3.8 all of them share one collector."""

    address: int
    enabled: int  # gc.isenabled()
    thresholds: Triple  # gc.get_threshold()
    counts: Triple  # gc.get_count()
    collections: Triple  # gc.get_stats(), by generation
    collected: Triple
    uncollectable: Triple
    frozen: int  # 1: gc.freeze() has set objects aside
    threads: int


def read(memory: Memory, runtime: int, layout: Layout, tasks: int, strict: bool = False) -> List[Interpreter]:
    """All interpreters, the main one last. ``tasks``: threads the process has. Raises Torn.

    ``strict``: do not take a reading during a collection, when the lists are not whole.
    """
    offsets = layout.offsets
    found: List[Interpreter] = []
    seen: Set[int] = set()
    at = memory.word(runtime + offsets["runtime.interpreters_head"])
    while at:
        if at in seen or len(seen) >= _MOST_INTERPRETERS:
            raise Torn("the list of interpreters does not end")
        seen.add(at)
        gc = at + offsets["interpreter.gc"] if "interpreter.gc" in offsets else runtime + offsets["runtime.gc"]
        found.append(_interpreter(memory, at, gc, layout, tasks, strict))
        at = memory.word(at + offsets["interpreter.next"])
    if not any(interpreter.threads for interpreter in found):
        raise Torn("no interpreter with a thread")
    return found


def _interpreter(memory: Memory, at: int, gc: int, layout: Layout, tasks: int, strict: bool) -> Interpreter:
    offsets = layout.offsets
    raw = memory.read(gc, layout.gc_bytes)
    generations = [offsets["gc.generations"] + _GENERATION_BYTES * k for k in range(GENERATIONS)]
    enabled = _field(raw, "<i", offsets["gc.enabled"])[0]
    collecting = _field(raw, "<i", offsets["gc.collecting"])[0]
    if enabled not in (0, 1) or collecting not in (0, 1) or (strict and collecting):
        raise Torn("collecting, or the switches of the collector are neither 0 nor 1")
    if "gc.generation0" in offsets and _field(raw, "<Q", offsets["gc.generation0"])[0] != gc + generations[0]:
        raise Torn("generation0 does not point at the first generation")
    permanent = offsets["gc.permanent"]
    if offsets["gc.stats"] != permanent + _GENERATION_BYTES:
        raise Torn("the statistics are not behind the permanent generation")
    if not collecting:
        for head in (*generations[1:], permanent):
            _check_closed(memory, gc + head, _field(raw, "<QQ", head))
    limits = [_field(raw, "<ii", head + 16) for head in generations]
    stats = [_field(raw, "<qqq", offsets["gc.stats"] + 24 * k) for k in range(GENERATIONS)]
    if min(map(min, limits)) < 0 or not all(0 <= value < _LARGEST_COUNT for row in stats for value in row):
        raise Torn("implausible counts of the collector")
    return Interpreter(
        address=at,
        enabled=enabled,
        thresholds=_triple([limit for limit, _ in limits]),
        counts=_triple([count for _, count in limits]),
        collections=_triple([row[0] for row in stats]),
        collected=_triple([row[1] for row in stats]),
        uncollectable=_triple([row[2] for row in stats]),
        frozen=int(_field(raw, "<Q", permanent)[0] != gc + permanent),
        threads=_threads(memory, at, layout, min(tasks + _EARLY_THREADS, _MOST_THREADS)),
    )


def _check_closed(memory: Memory, head: int, links: Tuple[int, ...]) -> None:
    """Both neighbours of a list's head point back at it (pycore_gc.h: _gc_next, _gc_prev). Raises Torn."""
    following, previous = links[0], links[1] & ~_FLAGS
    if memory.word(following + 8) & ~_FLAGS != head or memory.word(previous) & ~_FLAGS != head:
        raise Torn("a list of the collector does not lead back to its head")


def _threads(memory: Memory, interpreter: int, layout: Layout, most: int) -> int:
    """Number of thread states. Raises Torn when the chain is not whole."""
    places = [layout.offsets["thread." + name] for name in ("previous", "next", "interpreter")]
    start, end = min(places), max(places) + 8
    if len(set(places)) != len(places):
        raise Torn("two fields of a thread in one place")
    number = before = 0
    at = memory.word(interpreter + layout.offsets["interpreter.threads"])
    while at:
        raw = memory.read(at + start, end - start)
        previous, following, owner = (int.from_bytes(raw[p - start : p - start + 8], "little") for p in places)
        if owner != interpreter or previous != before or number >= most:
            raise Torn("the threads of an interpreter do not hang together")
        number += 1
        before, at = at, following
    return number


def _field(raw: bytes, form: str, offset: int) -> Tuple[int, ...]:
    if not 0 <= offset <= len(raw) - struct.calcsize(form):
        raise Torn("a field outside of its structure")
    values: Tuple[int, ...] = struct.unpack_from(form, raw, offset)
    return values


def _triple(values: List[int]) -> Triple:
    first, second, third = values
    return first, second, third
