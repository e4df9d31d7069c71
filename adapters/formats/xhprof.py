"""Profiles of xhprof and tideways_xhprof: PHP's ``serialize()`` (``RUN.NAMESPACE.xhprof``) or JSON, also as XHGui wraps it.

::

    profile = { "caller==>callee": { "ct": calls, "wt": us, "cpu": us, "mu": bytes, "pmu": bytes, ... }, "main()": {...} }

The model is that of Blackfire's probes, so the file is turned into one of theirs (`to_probe_file`) and read as such: ``f@1`` is
``f`` called from within ``f``, costs are inclusive, mu is held at return, pmu is by how much the highest memory of the request
rose. A key without an arrow is a call by the script itself. What paths calls took is not in the file: the tree is an estimate.

tideways_xhprof adds mem.na (allocations), mem.nf (frees), mem.aa (bytes allocated). Its defects on PHP 8, seen with 5.0.4 on 8.2:
each call of an internal function is there twice, the second as ``f==>f@1``; levels count by the name without the class, so that
``A::get`` calls ``B::get@1``; main() has the numbers of something else; mem.nf is nearly always 0. The first two are undone here
where the file shows them, the others are said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.formats import php_serialized
from adapters.formats.blackfire_probe import ProbeFile, split_key, write
from adapters.formats.blackfire_profile import NOTE_PEAK, to_profile
from adapters.formats.circles import circles
from adapters.formats.estimated_tree import NOTE_TREE, estimated_tree
from adapters.formats.unpacking import unpacked
from harness.model.profile import Profile
from harness.plugins.formats import FileFormat

CAP_BYTES = 16 << 20
TREE_NODES = 20_000
NOTE_HELD = (
    "Held at return (mu): bytes allocated in the call and not freed when it returned. Local variables die after that, so a "
    "function may show what is free a moment later: a leak never shows in one function alone."
)
NOTE_FREES = "The number of frees (mem.nf) is left out: tideways_xhprof hardly counts any."
NOTE_TWICE = (
    "Calls of internal functions were there twice, as tideways_xhprof writes them on PHP 8, and are counted once. A function of "
    "the application that calls itself exactly once in each call would look the same."
)
NOTE_LEVELS = (
    "Some calls were marked as recursion that cannot be any: tideways_xhprof counts levels by the name without the class. They "
    "are counted as calls from outside; among functions that do call each other, such marks cannot be told from true ones."
)
NOTE_ROOT = "main() does not cover the calls below it, so there are no totals."
NOTE_ALLOCATED = (
    "mu is what was allocated, freed or not: it was recorded with TIDEWAYS_XHPROF_FLAGS_MEMORY_ALLOC_AS_MU."
)

_DIMENSIONS = ("wt", "cpu", "mu", "pmu", "mem.na", "mem.aa", "nw_in", "nw_out")
_LEFT_OUT = ("ct", "mem.nf")
_STRUCTURE_CAP = 2_000_000
_KEYS_CAP = 500_000
_KEY_CAP = 4096
_INT64 = 2**63
_LEVEL = re.compile(r"@(\d{1,9})\Z")
_DISABLES = ("tideways_xhprof_disable", "tideways_disable", "xhprof_disable")

Costs = Mapping[str, Mapping[str, int]]


def read_xhprof(path: Path, *, cap_bytes: int = CAP_BYTES) -> Profile:
    """Read a profile, plain or gzip; ValueError with the reason when it is none, cut or beyond a limit, OSError when it cannot be
    read. There is no reading half of one: both containers say nothing until they are whole."""
    return to_xhprof_profile(parse(b"".join(unpacked(path, cap_bytes))))


def parse(data: bytes) -> Costs:
    """``caller==>callee`` -> the numbers of these calls together, as written. Pure; errors as for `read_xhprof`."""
    raw = _json(data) if data.lstrip()[:1] == b"{" else _serialized(data)
    wrapped = raw.get("profile")
    if isinstance(wrapped, dict) and "ct" not in wrapped:  # XHGui's documents: profile beside meta
        raw = {_clean(key): value for key, value in wrapped.items()}
    if not raw or len(raw) > _KEYS_CAP:
        raise ValueError("this is no xhprof profile: it has no calls" if not raw else f"more than {_KEYS_CAP} calls")
    costs: dict[str, Mapping[str, int]] = {}
    for key, numbers in raw.items():
        if not isinstance(numbers, dict) or "ct" not in numbers or not _are_numbers(numbers):
            raise ValueError("this is no xhprof profile: a call in it has no numbers")
        if not key or len(key) > _KEY_CAP:
            raise ValueError(f"a name that is empty or longer than {_KEY_CAP} characters")
        costs[key] = numbers
    return costs


def _are_numbers(numbers: Mapping[object, object]) -> bool:
    return len(numbers) <= 64 and all(
        isinstance(name, str) and type(value) is int and abs(value) < _INT64 for name, value in numbers.items()
    )


def _json(data: bytes) -> dict[str, object]:
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > _STRUCTURE_CAP:
        raise ValueError(f"more than {_STRUCTURE_CAP} values")
    try:
        raw = json.loads(data.decode("utf-8", "backslashreplace"))
    except RecursionError:
        raise ValueError("this is no xhprof profile: JSON that is nested without end") from None
    if not isinstance(raw, dict):
        raise ValueError("this is no xhprof profile: no object")
    return {_clean(key): value for key, value in raw.items()}


def _serialized(data: bytes) -> dict[str, object]:
    raw = php_serialized.load(data)
    if not isinstance(raw, dict):
        raise ValueError("this is no xhprof profile: no array")
    return {_text(key): _plain(value) for key, value in raw.items()}


def _plain(value: php_serialized.Value) -> object:
    if not isinstance(value, dict):
        return value
    return {_text(key): _plain(item) for key, item in value.items()}  # never deeper than the reader allows


def _text(key: int | bytes) -> str:
    return str(key) if isinstance(key, int) else _clean(key.decode("utf-8", "backslashreplace"))


def _clean(name: str) -> str:
    """Lone halves of surrogates, which JSON can hold, are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


# --- as a probe's file, and as a profile ----------------------------------------------------------------------------


def to_probe_file(costs: Costs, headers: Sequence[tuple[str, str]] = (("probed-language", "php"),)) -> ProbeFile:
    """The same numbers as Blackfire's probes write them; nothing is mended. mem.nf is left out. ``headers``: lower-case names."""
    dimensions = _dimensions(costs)
    found: dict[str, tuple[int, ...]] = {}
    for name, numbers in costs.items():
        key, values = _key(name), (numbers["ct"], *(numbers.get(dimension, 0) for dimension in dimensions))
        found[key] = tuple(map(sum, zip(found[key], values, strict=True))) if key in found else values
    return ProbeFile(dimensions, tuple(headers), found)


def to_probe_bytes(costs: Costs, headers: Sequence[tuple[str, str]] = (("probed-language", "php"),)) -> bytes:
    """A BlackfireProbe file; ValueError when a name cannot be expressed in it."""
    return write(to_probe_file(costs, headers))


def _key(name: str) -> str:
    """No line of the other format may begin or end inside a name."""
    return "".join(c if c not in "\r\n\0" else f"\\x{ord(c):02x}" for c in name)


def _dimensions(costs: Costs) -> tuple[str, ...]:
    """What was measured, in the order of the probes, and then whatever else is there."""
    there = {name for numbers in costs.values() for name in numbers}
    others = sorted(name for name in there - {*_DIMENSIONS, *_LEFT_OUT} if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name))
    found = (*(name for name in _DIMENSIONS if name in there), *others[:16])
    if not found:
        raise ValueError("this is no xhprof profile: calls without costs")
    return found


def to_xhprof_profile(costs: Costs) -> Profile:
    """What functions and calls cost. Functions have no files and lines. Pure."""
    single = without_doubles(costs)
    mended = without_false_levels(single)
    profile = to_profile(to_probe_file(mended, ()))
    estimate = estimated_tree(profile.functions, profile.edges, TREE_NODES)
    root = mended.get("main()", {})
    uncovered = [name for name in ("wt", "mem.aa") if _beyond(mended, name, root.get(name, 0))]
    covered = bool(root) and not uncovered
    return replace(
        profile,
        tool="xhprof",
        tree=estimate.nodes,
        totals=profile.totals if covered else dict.fromkeys(profile.totals),
        notes=tuple(_notes(mended, single is not costs, mended is not single, covered=covered)),
        complete=True,
    )


def _beyond(costs: Costs, dimension: str, root: int) -> bool:
    """Whether a call cost more than all of it."""
    return any(numbers.get(dimension, 0) > root for key, numbers in costs.items() if key != "main()" and "@" not in key)


def without_doubles(costs: Costs) -> Costs:
    """The same where internal functions do not call themselves once in each call; the very same object when they do not."""
    if not any(f"{name}==>{name}@1" in costs for name in _DISABLES):
        return costs
    doubled = _doubled(costs)
    mended: dict[str, Mapping[str, int]] = {}
    for key, numbers in costs.items():
        caller, callee = split_key(key)
        plain, level = _split(callee)
        if plain in doubled and level % 2:
            continue
        callee = _joined(plain, level // 2) if plain in doubled else callee
        plain, level = _split(caller)
        caller = _joined(plain, level // 2) if plain in doubled else caller
        name = f"{caller}==>{callee}" if caller else callee
        mended[name] = _sum(mended[name], numbers) if name in mended else numbers
    return mended


def _doubled(costs: Costs) -> frozenset[str]:
    """Functions whose every call at an even depth holds exactly one at the next depth, which comes from nowhere else."""
    entered: dict[str, dict[int, int]] = {}
    inner: dict[str, dict[int, int]] = {}
    others: set[str] = set()
    for key, numbers in costs.items():
        caller, callee = split_key(key)
        plain, level = _split(callee)
        if level % 2 == 0:
            calls = entered.setdefault(plain, {})
        elif _split(caller) == (plain, level - 1):
            calls = inner.setdefault(plain, {})
            level -= 1
        else:
            others.add(plain)
            continue
        calls[level] = calls.get(level, 0) + numbers["ct"]
    return frozenset(name for name, calls in inner.items() if name not in others and entered.get(name) == calls)


def without_false_levels(costs: Costs) -> Costs:
    """The same where ``f@1`` called by what ``f`` never leads to is ``f``; the very same object when there are no such calls."""
    numbers: dict[str, int] = {}
    calls = {
        (numbers.setdefault(_split(caller)[0], len(numbers)), numbers.setdefault(_split(callee)[0], len(numbers)))
        for caller, callee in map(split_key, costs)
        if caller
    }
    circle = circles(calls)
    false: set[str] = set()  # keys
    true: set[str] = set()  # functions with levels that hold
    for key in costs:
        caller, callee = split_key(key)
        plain, level = _split(callee)
        outer = _split(caller)[0]
        if not level:
            continue
        if caller and outer != plain and circle.get(numbers[outer], -1) != circle.get(numbers[plain], -2):
            false.add(key)
        else:
            true.add(callee)
    if not false:
        return costs
    mended: dict[str, Mapping[str, int]] = {}
    for key, values in costs.items():
        caller, callee = split_key(key)
        caller = caller if caller in true else _split(caller)[0]
        callee = _split(callee)[0] if key in false else callee
        name = f"{caller}==>{callee}" if caller else callee
        mended[name] = _sum(mended[name], values) if name in mended else values
    return mended


def _split(name: str) -> tuple[str, int]:
    found = _LEVEL.search(name)
    return (name, 0) if found is None else (name[: found.start()], int(found[1]))


def _joined(name: str, level: int) -> str:
    return f"{name}@{level}" if level else name


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _notes(costs: Costs, doubled: bool, leveled: bool, *, covered: bool) -> Iterator[str]:
    there = {name for numbers in costs.values() for name in numbers}
    if {"mu", "mem.aa"} <= there and all(numbers.get("mu") == numbers.get("mem.aa") for numbers in costs.values()):
        yield NOTE_ALLOCATED
    elif "mu" in there:
        yield NOTE_HELD
    if "pmu" in there:
        yield NOTE_PEAK
    if doubled:
        yield NOTE_TWICE
    if leveled:
        yield NOTE_LEVELS
    if "mem.nf" in there:
        yield NOTE_FREES
    if not covered:
        yield NOTE_ROOT
    yield NOTE_TREE


def _recognises(head: bytes) -> bool:
    start = head.lstrip()[:4096]
    if re.match(rb'a:\d{1,9}:\{s:\d{1,9}:"', start):
        return True
    return start.startswith(b"{") and (re.search(rb'"ct"\s*:', head) is not None)


FORMAT = FileFormat("xhprof", "xhprof or tideways_xhprof profile", _recognises, read_xhprof)
