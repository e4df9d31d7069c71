"""How the price of a process-sample moves with the number of processes, from 1 to 500 small ones."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from contestants import Contestant, by_c, by_procpath, by_psutil, by_sweeper
from equal_fidelity import compete
from sampler import DEFAULT
from tables import spread, table
from tree import Shape, running


class Plan(NamedTuple):
    """How much of it."""

    processes: Sequence[int]
    samples: int  # process-samples a turn, at least
    least_ticks: int
    budgeted_ticks: int  # at least, under a budget
    turns: int


def straightness(counts: Sequence[int], costs_s: Sequence[float]) -> tuple[float, float, float]:
    """(fixed cost of a tick, cost of a process, largest deviation in percent) of the line ``fixed + each * processes``.

    Fitted with relative weights, so that the small trees count as much as the large ones.
    """
    n, y = np.array(counts, dtype=float), np.array(costs_s)
    design = np.column_stack([1 / y, n / y])
    fixed, each = np.linalg.lstsq(design, np.ones(n.size), rcond=None)[0]
    return float(fixed), float(each), float(100 * np.max(np.abs((fixed + each * n) / y - 1)))


def report(plan: Plan, program: Path) -> str:
    """One row a contestant, one column a size, as Markdown."""
    contestants: list[Contestant] = [
        by_c(program), by_sweeper(), by_sweeper(DEFAULT), by_psutil(), by_procpath()
    ]  # fmt: skip
    present = [c for c in contestants if not c.missing]
    costs: dict[str, list[list[float]]] = {c.name: [] for c in present}
    for processes in plan.processes:
        with running(Shape(processes - 1, 0, 1, 1 if processes > 1 else 0)) as tree:
            ticks = max(plan.least_ticks, plan.samples // processes)
            scores = compete(present, tree, ticks, 0.0, plan.turns, plan.budgeted_ticks)
        for name, score in scores.items():
            costs[name].append(score.per_thousand_s)
    head = [
        "CPU ms per process-sample",
        *(f"{n}" for n in plan.processes),
        "ms a tick",
        "ms a process",
        "off the line, at most",
    ]
    body = []
    for name, found in costs.items():
        middle = [statistics.median(values) for values in found]
        fixed, each, off = straightness(plan.processes, [m * n for m, n in zip(middle, plan.processes, strict=True)])
        body.append(
            [name, *(spread([statistics.median(v)], 3) for v in found), f"{fixed:.2f}", f"{each:.3f}", f"{off:.0f} %"]
        )
    body += [[c.name, c.missing, *[""] * (len(head) - 2)] for c in contestants if c.missing]
    return "\n\n".join(
        [
            f"Small processes, back to back, at least {plan.samples} process-samples a turn, {plan.turns} turns each "
            "(one second passes between two sweeps of harness, so its work of once a second is in all of them):",
            table(head, body),
        ]
    )
