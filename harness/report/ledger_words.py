"""The ledger in one sentence: what a worker's memory consists of at the end of the measured rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.model.process import Role
from harness.model.report import LedgerRow, Report
from harness.model.span import PhaseName
from harness.report.words import size

# (field of `LedgerRow`, how it is called, whether it is told where there is none of it)
_PARTS = (
    ("live", "live", True),
    ("allocator_held", "held by allocators", True),
    ("other_native", "outside of allocators", False),
    ("image", "program data", False),
    ("file", "files", True),
    ("shared", "shared", False),
    ("stacks", "stacks", False),
    ("thp", "unused in huge pages", False),
)
_SLIGHT_SHARE = 0.001
# The same names everywhere, of parts as `LedgerRow` and `PoolLedgerRow` call them
NAMES = {**{field: name for field, name, _ in _PARTS}, "pss": "PSS", "unexplained": "unexplained", "swap": "swap"}


def ledger_line(report: Report) -> str | None:
    """None where no worker was measured at the end of a round. Sums of known parts over the workers, divided by their number."""
    rows = last_of_workers(report)
    whole = sum(row.pss or 0 for row in rows)
    if not whole:
        return None
    named = [_part(rows, field, name, always, whole) for field, name, always in _PARTS]
    rest = sum(row.unexplained or 0 for row in rows)
    parts = [*(part for part in named if part), f"unexplained {size(rest / len(rows))}"]
    swap = sum(row.swap or 0 for row in rows)
    if swap:
        parts.append(f"and {size(swap / len(rows))} swapped out")
    of = "of each worker's" if len(rows) > 1 else "of the worker's"
    return f"{of} {size(whole / len(rows))}: {', '.join(parts)}{_explained(report)}"


def last_of_workers(report: Report) -> Sequence[LedgerRow]:
    """The workers' rows of the last measured round that has some."""
    workers = {w.key for w in report.workers if w.role is Role.WORKER}
    measured = [
        r for r in report.ledger if r.phase == PhaseName.ROUNDS and r.key in workers and r.pss is not None and r.pss > 0
    ]
    last_ns = max((row.t_ns for row in measured), default=0)
    return [row for row in measured if row.t_ns == last_ns]


def _part(rows: Sequence[LedgerRow], field: str, name: str, always: bool, whole: int) -> str:
    known = [value for value in (getattr(row, field) for row in rows) if value is not None]
    if not known:
        return f"{name} unknown" if always else ""
    total = sum(known)
    return f"{name} {size(total / len(rows))}" if always or total > _SLIGHT_SHARE * whole else ""


def _explained(report: Report) -> str:
    shares = [row.explained_share for row in report.ledger if row.explained_share is not None]
    return f"; {100 * statistics.median(shares):.1f} % explained (median of {len(shares)} floors)" if shares else ""
