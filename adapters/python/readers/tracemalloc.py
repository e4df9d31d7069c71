"""tracemalloc: bytes and blocks still held, by line, and by stack where frames were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from adapters.formats import stacks
from adapters.formats.origins import Held, Place, origins
from adapters.python.readers import fields
from adapters.python.readers.owners import owner_of
from harness.model.profile import Frame, LineCost, Profile, ValueType

_FRAMES_CAP = 60_000
_STACKS_CAP = 10_000
_DEPTH_CAP = 32
_HELD = (ValueType("inuse_space", "bytes", "still held"), ValueType("inuse_objects", "count", "blocks still held"))
# What results say nothing of that were recorded when there was one mode and one frame.
_WITHOUT_MODES: fields.Fields = {
    "mode": "fresh", "frames_kept": 1, "frames": [], "stacks": [], "stacks_total": 0, "functions": [], "garbage": None
}  # fmt: skip
_CHANGE = (
    ValueType("inuse_space", "bytes", "change of what is held"),
    ValueType("inuse_objects", "count", "change in blocks held"),
)


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    result = {**_WITHOUT_MODES, **result}
    cwd = fields.text(result, "cwd", fields.PATH_CAP)
    mode = fields.text(result, "mode", 16)
    if mode not in ("fresh", "difference"):
        raise ValueError("mode is neither fresh nor difference")
    difference = mode == "difference"
    number = fields.signed if difference else fields.count
    named = _functions(result, cwd)
    lines = tuple(
        LineCost(
            file=(path := fields.path(row, cwd)),
            line=(line_number := fields.count(row, "line")),
            function=named.get((path, line_number), ""),
            hits=None,
            values=(number(row, "bytes"), number(row, "blocks")),
        )
        for row in fields.rows(result, "lines", fields.LINES_CAP)
    )
    frames = _frames(result, cwd)
    rows = fields.rows(result, "stacks", _STACKS_CAP)
    nodes = stacks.tree((_stack(row, len(frames), number) for row in rows), len(_HELD))
    whole = fields.text(result, "scope", 16) == "process"
    left_out = _left_out(fields.count(result, "lines_total"), len(lines), "lines")
    left_out += _left_out(fields.count(result, "stacks_total"), len(rows), "stacks")
    return Profile(
        tool="tracemalloc",
        value_types=_CHANGE if difference else _HELD,
        frames=frames,
        functions=stacks.functions(nodes, len(_HELD)),
        tree=nodes,
        lines=lines,
        origins=origins((*_held(result, cwd, number, named), *_garbage(result, cwd, named)), owner_of),
        totals={key: number(result, key) for key in ("kept_bytes", "kept_blocks")}
        | {"peak_bytes": fields.signed_or_none(result, "peak_bytes")}
        | _collected(result)
        | fields.deltas(result),
        notes=(*_notes(result, difference, whole), *left_out, *fields.honesty(result)),
    )


def _frames(result: fields.Fields, cwd: str) -> tuple[Frame, ...]:
    found = result.get("frames")
    if not isinstance(found, list):
        raise ValueError("frames is not a list")
    frames = []
    for row in found[:_FRAMES_CAP]:
        if not isinstance(row, list) or len(row) != 2:
            raise ValueError("a frame is not a file and a line")
        frame = dict(zip(("file", "line"), row, strict=True))
        path, line = fields.path(frame, cwd), fields.count(frame, "line")
        frames.append(Frame(f"{PurePosixPath(path).name}:{line}", path, line))
    return tuple(frames)


def _stack(row: fields.Fields, frames: int, number: fields.Number) -> tuple[Sequence[int], tuple[int, int]]:
    way = row.get("frames")
    if not isinstance(way, list) or not all(type(n) is int and 0 <= n < frames for n in way):
        raise ValueError("a stack has frames that are not in the table")
    return way[:_DEPTH_CAP], (number(row, "bytes"), number(row, "blocks"))


def _functions(result: fields.Fields, cwd: str) -> Mapping[tuple[str, int], str]:
    """The function around each place, ``package.module:Qualified.name``, where the target told it."""
    found = result.get("functions")
    if not isinstance(found, list):
        raise ValueError("functions is not a list")
    named = {}
    for row in found[:_FRAMES_CAP]:
        if not isinstance(row, list) or len(row) != 3:
            raise ValueError("a function is not a file, a line and a name")
        each = dict(zip(("file", "line", "name"), row, strict=True))
        named[fields.path(each, cwd), fields.count(each, "line")] = fields.text(each, "name", fields.NAME_CAP)
    return named


def _held(
    result: fields.Fields, cwd: str, number: fields.Number, named: Mapping[tuple[str, int], str]
) -> Iterator[Held]:
    """What each stack keeps; where one frame was kept, what each line does."""
    frames = [Place(f.file, f.line or 0, named.get((f.file, f.line or 0), "")) for f in _frames(result, cwd)]
    if not frames:
        for row in fields.rows(result, "lines", fields.LINES_CAP):
            file, line = fields.path(row, cwd), fields.count(row, "line")
            yield Held([Place(file, line, named.get((file, line), ""))], number(row, "bytes"))
    for row in fields.rows(result, "stacks", _STACKS_CAP):
        way, (size, _) = _stack(row, len(frames), number)
        yield Held([frames[n] for n in way], size)


def _garbage(result: fields.Fields, cwd: str, named: Mapping[tuple[str, int], str]) -> Iterator[Held]:
    """The same of what the collection at the end freed, where that was asked for."""
    garbage = result["garbage"]
    if garbage is None:
        return
    if not isinstance(garbage, dict):
        raise ValueError("garbage is not an object")
    own = {**named, **_functions({"functions": [], **garbage}, cwd)}
    for held in _held(garbage, cwd, fields.signed, own):
        yield Held(held.stack, 0, held.kept)


def _collected(result: fields.Fields) -> dict[str, int | None]:
    garbage = result["garbage"]
    return {} if garbage is None else {"garbage_bytes": fields.signed(garbage, "kept_bytes")}


def _notes(result: fields.Fields, difference: bool, whole: bool) -> list[str]:
    until = "at the end of the program" if whole else "at the end of the request, after a garbage collection"
    kept = fields.count(result, "frames_kept")
    if difference:
        notes = [
            "tracemalloc was tracing before this request, so this is the difference between before and after it: what was freed "
            "of earlier blocks counts too, with a minus.",
        ]
        if fields.signed_or_none(result, "peak_bytes") is None:
            notes.append("The peak is not known: the process had held more before, and its mark is the application's.")
    else:
        notes = [f"Bytes still held {until}; memory that was freed before then is not in the lines."]
    notes.append("Python's allocators and libraries that report to tracemalloc only; other native memory is invisible.")
    if not whole:
        notes.append(fields.FREE_LISTS)
    if kept > 1:
        notes.append(
            f"Stacks are the {kept} innermost frames of each allocation. tracemalloc knows lines, not functions, and no calls."
        )
    if not whole and not difference:
        notes.append("A response sent in several parts may add one part to the peak.")
    return notes


def _left_out(total: int, shown: int, what: str) -> list[str]:
    return [f"The {shown} largest of {total} {what}; the totals cover all of them."] if total > shown else []
