"""What the agent adds to a request that is not profiled: an empty WSGI application, with and without it, on every Python here."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from launching import environment, interpreters, plans
from said import median_said_us
from tables import table

from adapters.python.deploy import RECORDS_PATTERN

HERE = Path(__file__).parent


class Plan(NamedTuple):
    """How much of it."""

    calls: int
    turns: int


def report(plan: Plan) -> str:
    """A row for each interpreter, as Markdown."""
    rows = []
    for version, python in interpreters().items():
        with tempfile.TemporaryDirectory() as directory:
            argv = [python, str(HERE / "record_loop.py"), str(plan.calls), str(plan.turns)]
            env = environment(plans(Path(directory), argv)[0])
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
            said = median_said_us(Path(directory).glob(RECORDS_PATTERN))
        pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        bare, recorded = zip(*pairs, strict=True)
        added = [after - before for before, after in pairs]
        cells = (min(bare), min(recorded), min(recorded) - min(bare), statistics.median(added), said)
        rows.append([version, *("-" if cell is None else f"{cell:.2f}" for cell in cells)])
    head = ["Python", "bare, us", "recorded, us", "added, minimum", "added, median", "said by itself, us"]
    return f"{plan.turns} turns of {plan.calls} requests to an empty application:\n\n{table(head, rows)}"
