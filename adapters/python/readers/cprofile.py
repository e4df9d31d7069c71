"""cProfile: calls and time by function and caller."""

from __future__ import annotations

from adapters.formats.estimated_tree import estimated_tree
from adapters.python.readers import fields
from adapters.python.readers.call_graph import Figures, Function, Graph, merged, self_ns, without_ours
from harness.model.profile import CallEdge, Frame, FunctionCost, Profile, ValueType

BUILTIN = "<built-in>"
TIME = ValueType("time", "ns", "time, waiting included")
FUNCTIONS_CAP = 20_000
CALLERS_CAP = 100_000
TREE_NODES = 20_000
_LIMIT = 2**53  # 104 days in ns; shares are computed in floating point, which counts no further exactly


def parse(result: fields.Fields) -> Profile:
    """A checked result file as a profile."""
    graph = merged(without_ours(_graph(result)))
    functions = list(graph.functions.values())
    in_functions = self_ns(functions)
    largest = max((max(f.figures.calls, f.figures.total_ns) for f in functions), default=0)
    if max(largest, in_functions) >= _LIMIT:
        raise ValueError("the profile holds impossible numbers")
    costs = tuple(
        FunctionCost(n, f.figures.calls, (f.figures.own_ns,), (f.figures.total_ns,)) for n, f in enumerate(functions)
    )
    # The line of a call is not known, and there is no line 0.
    edges = tuple(CallEdge(*ends, 0, cost.calls, (cost.total_ns,)) for ends, cost in graph.calls.items())
    tree = estimated_tree(costs, edges, TREE_NODES)
    problems = fields.problems(result)
    cut = list(_cut(result))
    return Profile(
        tool="cprofile",
        value_types=(TIME,),
        frames=tuple(Frame(f.name, BUILTIN if f.file is None else f.file, f.line) for f in functions),
        functions=costs,
        edges=edges,
        tree=tree.nodes,
        totals={"in_functions_ns": in_functions, "calls": sum(f.figures.calls for f in functions)}
        | fields.deltas(result),
        notes=(
            *(f"Incomplete: {problem}." for problem in problems),
            *_notes(),
            *cut,
            *([] if tree.complete else [f"The tree shows the {len(tree.nodes)} largest paths."]),
            *fields.honesty(result),
        ),
        complete=not problems and not cut,
    )


def _graph(result: fields.Fields) -> Graph:
    cwd = fields.text(result, "cwd", fields.PATH_CAP)
    rows = fields.rows(result, "functions", FUNCTIONS_CAP)
    graph = Graph()
    for number, row in enumerate(rows):
        builtin = row.get("file") is None
        graph.functions[number] = Function(
            file=None if builtin else fields.path(row, cwd),
            line=None if builtin else fields.count(row, "line"),
            name=fields.text(row, "name", fields.NAME_CAP),
            ours=bool(fields.count(row, "own")),
            figures=Figures(fields.count(row, "calls"), fields.count(row, "own_ns"), fields.count(row, "total_ns")),
        )
    for callee, row in enumerate(rows):
        for caller, calls, _, own_ns, total_ns in fields.tuples(row, "callers", 5, CALLERS_CAP - len(graph.calls)):
            if caller >= len(rows):
                raise ValueError("a caller that is not there")
            graph.calls.setdefault((caller, callee), Figures()).add(Figures(calls, own_ns, total_ns))
    return graph


def _notes() -> tuple[str, ...]:
    return (
        "The call tree is estimated: cProfile knows how long each function took for each of its callers, but not on which path. "
        "What a function did is shared out among its callers in proportion; the call table is measured.",
        "The thread that ran the request only: what it handed to a thread pool appears as waiting.",
        "In an ASGI server this is the event loop's thread, under gevent that of all greenlets: what runs there meanwhile is in "
        "it, waiting too. A coroutine or generator counts as called each time it goes on.",
        "Every call costs some tenths of a microsecond more than without the profiler: functions that do little and are called "
        "often look slower than they are.",
    )


def _cut(result: fields.Fields) -> list[str]:
    functions, callers = fields.count(result, "functions_total"), fields.count(result, "callers_total")
    shown = len(fields.rows(result, "functions", FUNCTIONS_CAP))
    return [
        *([f"The {shown} largest of {functions} functions."] if functions > shown else []),
        *([f"The {CALLERS_CAP} largest of {callers} pairs of caller and callee."] if callers > CALLERS_CAP else []),
    ]
