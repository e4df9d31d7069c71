"""CPU time of a process-sample: everybody on the same tree, in turns, back to back and once a second."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from contestants import Contestant, commands, loops
from tables import spread, table
from tree import Shape, Tree, running


class Plan(NamedTuple):
    """How much of it."""

    shapes: Sequence[Shape]
    loop_ticks: int
    command_ticks: int
    interval_s: float
    budgeted_ticks: int  # at least, for contestants that do not read everything in each
    turns: int


@dataclass
class Score:
    """What has been measured of one contestant."""

    first_s: list[float] = field(default_factory=list)  # CPU time of a run of one tick
    per_thousand_s: list[float] = field(default_factory=list)  # of 1000 process-samples more
    of_c: list[float] = field(default_factory=list)  # that, as a multiple of the C loop's in the same round
    full: int = 0
    samples: int = 0


def measure(contestant: Contestant, tree: Tree, ticks: int, interval_s: float, score: Score) -> None:
    """One turn: a run of one tick and one of many."""
    if contestant.whole_seconds:
        interval_s = max(1.0, interval_s)
    one = contestant.turn(tree, 1, interval_s)
    many = contestant.turn(tree, ticks + 1, interval_s)
    if many.samples <= one.samples:
        raise RuntimeError(f"{contestant.name} delivered no samples")
    score.first_s.append(one.cpu_s)
    score.per_thousand_s.append((many.cpu_s - one.cpu_s) / (many.samples - one.samples) * 1000)
    score.samples += many.samples - one.samples
    score.full += many.full - one.full


def compete(
    contestants: Sequence[Contestant], tree: Tree, ticks: int, interval_s: float, turns: int, budgeted_ticks: int
) -> dict[str, Score]:
    """Everybody in short turns, so that all meet the same machine. The first contestant is the yardstick."""
    scores = {c.name: Score() for c in contestants if not c.missing}
    for turn in range(turns):
        present = [c for c in contestants if not c.missing]
        for contestant in present if turn % 2 == 0 else reversed(present):
            enough = max(ticks, budgeted_ticks if contestant.budgeted else 0)
            measure(contestant, tree, enough, interval_s, scores[contestant.name])
        yardstick = scores[present[0].name].per_thousand_s[-1]
        for score in scores.values():
            score.of_c.append(score.per_thousand_s[-1] / yardstick)
    return scores


def rows(contestants: Sequence[Contestant], scores: dict[str, Score]) -> list[list[str]]:
    procpath = scores.get("procpath record")
    found = []
    for contestant in contestants:
        score = scores.get(contestant.name)
        if score is None:
            found.append([contestant.name, contestant.reads, contestant.missing, "", "", "", ""])
            continue
        cheaper = ""
        if procpath is not None:
            cheaper = f"{statistics.median(procpath.per_thousand_s) / statistics.median(score.per_thousand_s):.2f}"
        found.append(
            [
                contestant.name,
                contestant.reads,
                spread(score.per_thousand_s, 3),
                spread(score.of_c),
                cheaper,
                f"{100 * score.full / score.samples:.0f} %",
                spread(score.first_s),
            ]
        )
    return found


HEAD = [
    "", "a row holds", "CPU s per 1000 process-samples", "x C loop", "x cheaper than procpath", "read in that tick",
    "CPU s of start and first tick",
]  # fmt: skip


def report(plan: Plan, program: Path) -> str:
    """Both comparisons on every shape, as Markdown."""
    parts = []
    for shape in plan.shapes:
        with running(shape) as tree:
            back_to_back = loops(program)
            scores = compete(back_to_back, tree, plan.loop_ticks, 0.0, plan.turns, plan.budgeted_ticks)
            drop = HEAD.index("x cheaper than procpath")
            cut = [[c for i, c in enumerate(row) if i != drop] for row in [HEAD, *rows(back_to_back, scores)]]
            parts.append(
                f"{shape}; {plan.loop_ticks} ticks (under a budget {plan.budgeted_ticks}) back to back, {plan.turns} turns each:"
            )
            parts.append(table(cut[0], cut[1:]))
            everybody = commands(program)
            scores = compete(everybody, tree, plan.command_ticks, plan.interval_s, plan.turns, plan.budgeted_ticks)
            apart = f"{plan.command_ticks} ticks (under a budget {plan.budgeted_ticks}) {plan.interval_s:g} s apart"
            parts.append(f"{shape}; whole processes, {apart}, {plan.turns} turns each:")
            parts.append(table(HEAD, rows(everybody, scores)))
    return "\n\n".join(parts)
