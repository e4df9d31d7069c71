"""One profile as a block: opened by the page only when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from harness.model.profile import (
    CallNode,
    CollectorRun,
    CurvePoint,
    FunctionCost,
    Holder,
    HolderChain,
    LineCost,
    ObjectGroup,
    Peak,
    Profile,
)
from harness.report.page.blocks import Block

TREE_CAP = 100_000
FUNCTION_CAP = 20_000
LINE_CAP = 20_000
OBJECT_CAP = 5_000
CHAIN_CAP = 1_000
CURVE_CAP = 5_000
RUN_CAP = 5_000
PATH_CAP = 100
_TEXT_CAP = 500

_Row = TypeVar("_Row")


def profile_block(profile: Profile) -> str:
    """Functions, call tree, lines, objects and what holds them, the curve of memory and the collector's runs; what had to be
    folded away is said in the notes."""
    block = Block()
    notes = list(profile.notes)
    functions = _largest_functions(profile.functions, notes)
    tree = fold(profile.tree, TREE_CAP)
    if len(tree) < len(profile.tree):
        notes.append(f"The call tree shows the {len(tree)} largest of {len(profile.tree)} nodes.")
    lines = _first(profile.lines, LINE_CAP, "lines", notes)
    objects = _first(profile.objects, OBJECT_CAP, "types of objects", notes)
    holders = _first(profile.holders, CHAIN_CAP, "paths of references", notes)
    runs = _first(profile.collections, RUN_CAP, "runs of the collector", notes)
    curve = thinned(profile.curve, CURVE_CAP)
    if len(curve) < len(profile.curve):
        notes.append(f"The curve shows the lowest and highest of {len(profile.curve)} moments, {len(curve)} in all.")
    kinds = len(profile.value_types)
    header: dict[str, object] = {
        "tool": profile.tool[:_TEXT_CAP],
        "complete": profile.complete,
        "notes": [n[:2000] for n in notes],
        "totals": [[k[:_TEXT_CAP], v] for k, v in profile.totals.items()],
        "types": [{"name": v.name, "unit": v.unit, "title": v.title[:_TEXT_CAP]} for v in profile.value_types],
        "frames": [[f.function[:_TEXT_CAP], f.file[:_TEXT_CAP], f.line] for f in profile.frames],
        "functions": _costs(block, functions, kinds),
        "tree": {**_costs(block, tree, kinds), "parent": block.column([n.parent for n in tree])},
        "lines": [_line(line) for line in lines],
        "objects": [_object(group) for group in objects],
        "holders": [_holder(chain) for chain in holders],
        "curve": _curve(block, curve),
        "peak": None if profile.peak is None else _peak(profile.peak),
        "collections": [_collection(run) for run in runs],
    }
    return block.encode(header)


def fold(tree: Sequence[CallNode], cap: int) -> Sequence[CallNode]:
    """The ``cap`` nodes with the largest inclusive first value, and their callers, so that the rest is still a tree."""
    if len(tree) <= cap:
        return tree
    sizes = np.array([n.inclusive_values[0] if n.inclusive_values else 0 for n in tree], dtype=np.float64)
    keep = np.zeros(len(tree), dtype=bool)
    keep[np.argsort(-sizes, kind="stable")[:cap]] = True
    for index in range(len(tree) - 1, -1, -1):  # parents come before children
        if keep[index] and tree[index].parent >= 0:
            keep[tree[index].parent] = True
    renumbered = np.cumsum(keep) - 1
    return [
        CallNode(n.frame, -1 if n.parent < 0 else int(renumbered[n.parent]), n.calls, n.self_values, n.inclusive_values)
        for n, kept in zip(tree, keep, strict=True)
        if kept
    ]


def thinned(curve: Sequence[CurvePoint], cap: int) -> Sequence[CurvePoint]:
    """About ``cap`` moments of a curve: the lowest and the highest of each stretch, so that no spike disappears."""
    if len(curve) <= cap:
        return curve
    edges = np.linspace(0, len(curve), max(cap // 2, 1) + 1).astype(int).tolist()
    keep: set[int] = set()
    for begin, end in pairwise(edges):
        stretch = range(begin, end)
        keep |= {min(stretch, key=lambda i: curve[i].bytes), max(stretch, key=lambda i: curve[i].bytes)}
    return [curve[i] for i in sorted(keep)]


def _curve(block: Block, curve: Sequence[CurvePoint]) -> dict[str, object]:
    """Offsets and bytes as columns; the label of each moment as a number into ``labels``."""
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(point.label[:_TEXT_CAP], len(numbers)) for point in curve]
    return {
        "offset": block.column([p.offset_ns for p in curve]),
        "bytes": block.column([p.bytes for p in curve]),
        "label": block.column(labels),
        "labels": list(numbers),
    }


def _peak(peak: Peak) -> list[object]:
    """The stack from the outermost call on; of a deep one the middle is left out (-1)."""
    stack = list(peak.stack)
    if len(stack) > PATH_CAP:
        stack = [*stack[: PATH_CAP // 2], -1, *stack[len(stack) - PATH_CAP // 2 :]]
    return [peak.offset_ns, peak.bytes, stack]


def _collection(run: CollectorRun) -> list[object]:
    amounts = [run.collected, run.roots, run.duration_ns, run.before_bytes, run.after_bytes]
    return [run.offset_ns, run.function[:_TEXT_CAP], *amounts]


def _first(rows: Sequence[_Row], cap: int, what: str, notes: list[str]) -> Sequence[_Row]:
    if len(rows) > cap:
        notes.append(f"Only the first {cap} of {len(rows)} {what} are shown.")
    return rows[:cap]


def _largest_functions(functions: Sequence[FunctionCost], notes: list[str]) -> Sequence[FunctionCost]:
    if len(functions) <= FUNCTION_CAP:
        return functions
    notes.append(f"The call table shows the {FUNCTION_CAP} largest of {len(functions)} functions.")
    return sorted(functions, key=lambda f: f.inclusive_values[:1], reverse=True)[:FUNCTION_CAP]


def _costs(block: Block, rows: Sequence[FunctionCost | CallNode], kinds: int) -> dict[str, object]:
    return {
        "frame": block.column([r.frame for r in rows]),
        "calls": block.column([r.calls for r in rows]),
        "self": [block.column([r.self_values[k] for r in rows]) for k in range(kinds)],
        "inclusive": [block.column([r.inclusive_values[k] for r in rows]) for k in range(kinds)],
    }


def _line(line: LineCost) -> list[object]:
    source = None if line.source is None else line.source[:_TEXT_CAP]
    return [line.file[:_TEXT_CAP], line.line, line.function[:_TEXT_CAP], line.hits, list(line.values), source]


def _object(group: ObjectGroup) -> list[object]:
    return [group.kind[:_TEXT_CAP], list(group.values)]


def _holder(chain: HolderChain) -> list[object]:
    """The end of a path is where the object is, so a long one loses its middle."""
    path = chain.path
    if len(path) > PATH_CAP:
        left_out = Holder(f"… {len(path) - PATH_CAP + 1} more …", "")
        path = (*path[: PATH_CAP // 2], left_out, *path[len(path) - PATH_CAP // 2 + 1 :])
    return [chain.kind[:_TEXT_CAP], chain.objects, [[h.label[:_TEXT_CAP], h.via[:_TEXT_CAP]] for h in path]]
