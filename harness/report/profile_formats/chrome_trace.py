"""Chrome's Trace Event Format for one profile: calls as slices of time, memory and the collector beside them.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Durations are
measured; where a call began is not known: calls lie one after the other as in the profile, from the begin of their caller on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.model.profile import Profile
from harness.plugins.exports import ProfileExport
from harness.report.profile_formats.stacks import Stacks, place, stacks_of, walk
from harness.report.words import clean

_PID, _CALLS, _COLLECTOR = 1, 1, 2
_TEXT_LETTERS = 200


def write(profile: Profile, value: str | None = None) -> bytes:
    """The file, UTF-8. ValueError when the profile has no times."""
    events = [*_head(profile), *_calls(profile, value), *_memory(profile), *_collector(profile)]
    text = ",\n".join(map(_dumped, events))
    notes = _dumped({"exporter": "harness", "notes": [clean(note, 600) for note in profile.notes]})
    return f'{{"displayTimeUnit":"ns","otherData":{notes},"traceEvents":[\n{text}\n]}}\n'.encode()


def _dumped(value: object) -> str:
    """JSON with letters as they are: Perfetto refuses a file with an escaped pair of surrogates."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _head(profile: Profile) -> Iterator[dict[str, object]]:
    for name, thread, text in (
        ("process_name", _CALLS, clean(profile.tool, 80) or "profile"),
        ("thread_name", _CALLS, "calls, one after the other"),
        ("thread_name", _COLLECTOR, "garbage collector"),
    ):
        yield {"ph": "M", "pid": _PID, "tid": thread, "name": name, "args": {"name": text}}


def _calls(profile: Profile, value: str | None) -> Iterator[dict[str, object]]:
    """Begin and end events. They match by their order, so rounding of a reader cannot make two slices overlap."""
    times = [kind.name for kind in profile.value_types if kind.unit == "ns"]
    if value is not None and value not in times:
        raise ValueError(
            f"{clean(value)!r} is no time of this profile; it has {', '.join(map(clean, times)) or 'none'}"
        )
    if not profile.tree or not times:
        if profile.curve or any(run.offset_ns is not None for run in profile.collections):
            return
        raise ValueError("the profile has no times to put on an axis")
    stacks = stacks_of(profile, value or times[0])
    totals = stacks.totals(0)
    begin = [0] * len(totals)
    free: dict[int, int] = {-1: 0}  # of each open call, where the next of its callees begins
    for node, entering in walk(stacks.children()):
        if not totals[node]:
            continue
        if entering:
            begin[node] = free[stacks.parent[node]]
            free[node] = begin[node]
            free[stacks.parent[node]] += totals[node]
            yield _begin(stacks, node, begin[node])
        else:
            yield {"ph": "E", "pid": _PID, "tid": _CALLS, "ts": (begin[node] + totals[node]) / 1000}


def _begin(stacks: Stacks, node: int, begin_ns: int) -> dict[str, object]:
    frame = stacks.frames[stacks.frame[node]]
    args: dict[str, object] = {"calls": stacks.calls[node], "self_ns": stacks.values[0][node]}
    if place(frame):
        args["place"] = place(frame)
    return {"ph": "B", "pid": _PID, "tid": _CALLS, "ts": begin_ns / 1000, "name": frame.function, "args": args}


def _memory(profile: Profile) -> Iterator[dict[str, object]]:
    for point in profile.curve:
        if point.offset_ns >= 0:
            yield {
                "ph": "C",
                "pid": _PID,
                "ts": point.offset_ns / 1000,
                "name": "memory",
                "args": {"bytes": point.bytes},
            }


def _collector(profile: Profile) -> Iterator[dict[str, object]]:
    for run in profile.collections:
        if run.offset_ns is not None and run.offset_ns >= 0:
            args = {"collected": run.collected, "function": clean(run.function, _TEXT_LETTERS)}
            yield {"ph": "i", "s": "t", "pid": _PID, "tid": _COLLECTOR, "ts": run.offset_ns / 1000, "name": "collect",
                   "args": args}  # fmt: skip


EXPORT = ProfileExport(
    "chrome-trace", "trace.json", "Chrome Trace JSON, of profiles with times", "Perfetto, chrome://tracing", write
)
