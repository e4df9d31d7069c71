"""memray: bytes still held and bytes at the high-water mark, by line and by stack. The recording has been read already, by
memray_reader.py; its answer is in the result under ``reading``."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.formats import stacks
from adapters.formats.origins import Held, Place, origins
from adapters.python.readers import fields
from adapters.python.readers.owners import owner_of
from harness.model.profile import Frame, LineCost, Profile, ValueType

_FRAMES_CAP = 60_000
_STACKS_CAP = 10_000
_DEPTH_CAP = 256
# CPython 3.11 makes a table of a function's line numbers when it runs under a profiler for the first time, as here.
_MADE_FOR_PROFILERS = frozenset({"_PyCode_CreateLineArray"})
_COLUMNS = ("kept_bytes", "kept_blocks", "peak_bytes")
VALUES = (
    ValueType("inuse_space", "bytes", "still held"),
    ValueType("inuse_objects", "count", "blocks still held"),
    ValueType("peak_space", "bytes", "held at the high-water mark"),
)

_Place = tuple[str, str, int]
_Stack = tuple[Sequence[int], int, tuple[int, ...]]


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    reading = result.get("reading")
    if not isinstance(reading, dict):
        raise ValueError("the recording of this result was not read")
    places = _places(reading, fields.text(result, "cwd", fields.PATH_CAP))
    rows = [_stack(row, len(places)) for row in fields.rows(reading, "stacks", _STACKS_CAP)]
    frames, number = _frames(places)
    nodes = stacks.tree((([number[place] for place in way], values) for way, _, values in rows), len(VALUES))
    total = fields.count(reading, "stacks_total")
    whole = fields.text(result, "scope", 16) == "process"
    return Profile(
        tool="memray",
        value_types=VALUES,
        frames=frames,
        functions=stacks.functions(nodes, len(VALUES)),
        tree=nodes,
        lines=_lines(rows, places),
        origins=origins(
            (
                Held([Place(places[n][1], places[n][2], places[n][0]) for n in way], v[0], peak=v[2])
                for way, _, v in rows
                if not way or places[way[-1]][0] not in _MADE_FOR_PROFILERS
            ),
            owner_of,
        ),
        totals={
            key: fields.count(reading, key)
            for key in ("kept_bytes", "kept_blocks", "peak_bytes", "process_kept_bytes", "process_peak_bytes")
        }
        | fields.deltas(result),
        notes=(*_notes(reading, whole), *_left_out(total, len(rows)), *_honesty(result, reading)),
    )


def _places(reading: fields.Fields, cwd: str) -> list[_Place]:
    found = reading.get("frames")
    if not isinstance(found, list):
        raise ValueError("frames is not a list")
    places = []
    for row in found[:_FRAMES_CAP]:
        if not isinstance(row, list) or len(row) != 3:
            raise ValueError("a frame is not a function, a file and a line")
        frame = dict(zip(("function", "file", "line"), row, strict=True))
        line = fields.signed_or_none(frame, "line") or 0
        file = fields.text(frame, "file", fields.PATH_CAP)
        path = (
            fields.path(frame, cwd) if file.endswith(".py") else file
        )  # native frames name sources of another machine
        places.append((fields.text(frame, "function", fields.NAME_CAP), path, max(0, line)))
    return places


def _stack(row: fields.Fields, places: int) -> _Stack:
    way, line = row.get("frames"), row.get("line")
    if not isinstance(way, list) or not all(type(n) is int and 0 <= n < places for n in way):
        raise ValueError("a stack has frames that are not in the table")
    if type(line) is not int or not -1 <= line < places:
        raise ValueError("a stack ends at a line that is not in the table")
    return way[:_DEPTH_CAP], line, tuple(fields.count(row, key) for key in _COLUMNS)


def _frames(places: Sequence[_Place]) -> tuple[tuple[Frame, ...], list[int]]:
    """Functions, and for each place the number of its function: a stack has the line that ran, not that of the definition."""
    known: dict[tuple[str, str], int] = {}
    number = [known.setdefault((function, file), len(known)) for function, file, _ in places]
    return tuple(Frame(function, file, None) for function, file in known), number


def _lines(rows: Sequence[_Stack], places: Sequence[_Place]) -> tuple[LineCost, ...]:
    sums: dict[int, list[int]] = {}
    for _, place, values in rows:
        if place >= 0:
            held = sums.setdefault(place, [0] * len(VALUES))
            held[:] = [a + b for a, b in zip(held, values, strict=True)]
    largest = sorted(sums.items(), key=lambda item: max(item[1][0], item[1][2]), reverse=True)
    return tuple(
        LineCost(file=places[p][1], line=places[p][2], function=places[p][0], hits=None, values=tuple(values))
        for p, values in largest[: fields.LINES_CAP]
    )


def _notes(reading: fields.Fields, whole: bool) -> list[str]:
    notes = [
        "Bytes that were asked for, by Python's allocators and by native code; "
        + (
            "still held at the end of the program, loaded modules included."
            if whole
            else "still held at the end of the request, after a garbage collection."
        ),
        "memray counts allocations, not calls: calls are shown as 0.",
    ]
    if whole:
        notes.append("All threads of the process.")
        return notes
    if reading.get("thread_found") is not True:
        notes.append("The thread of the request was not found in the recording: all threads are counted.")
        return notes
    others = fields.count(reading, "process_kept_bytes") - fields.count(reading, "kept_bytes")
    notes.append(
        f"Filtered to the thread of this request. Outside of it, and in the agent, {max(0, others)} bytes are held: the part "
        "of this request that ran in a thread pool (a plain `def` endpoint of FastAPI, asyncio.to_thread) would be among them. "
        "To see that part use lines, survivors or tracemalloc."
    )
    notes.append(fields.FREE_LISTS)
    if reading.get("peak_exact") is not True:
        notes.append(
            "Too many allocations to follow one by one: the high-water mark is the moment when the whole process held most."
        )
    return notes


def _honesty(result: fields.Fields, reading: fields.Fields) -> list[str]:
    """As for every tool, but for requests in other threads, which are not in what was filtered."""
    values = fields.values(result)
    if values.get("alone") != 0 or reading.get("thread_found") is not True:
        return fields.honesty(result)
    return [
        "Other requests ran in this process at the same time. Where each has a thread they are not in these figures; in an event "
        "loop and under gevent they share one, and every figure is an upper bound.",
        *fields.honesty({**result, "values": {**values, "alone": 1}}),
    ]


def _left_out(total: int, shown: int) -> list[str]:
    return [f"The {shown} largest of {total} stacks; the totals cover all of them."] if total > shown else []
