"""The ledger in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports import empty_report, leak_report

from harness.model.process import Role
from harness.model.report import LedgerRow, Report
from harness.report.ledger_words import ledger_line
from harness.report.summary import summarise
from harness.report.terminal import render

MIB = 1 << 20


def report(changes: Sequence[dict[str, int]] = ({},), **others: object) -> Report:
    """The workers of a report with 100 MiB each, of which all parts are known but for what ``changes`` says."""
    made = leak_report()
    workers = [worker for worker in made.workers if worker.role is Role.WORKER][: len(changes)]
    rows = []
    for worker, change in zip(workers, changes, strict=True):
        parts = {
            "pss": 100, "live": 60, "allocator_held": 10, "file": 15, "shared": 0, "stacks": 0, "thp": 0,
            "unexplained": 1, "other_native": 12, "image": 2, "swap": 0, **change,
        }  # fmt: skip
        sizes = {name: None if value is None else value * MIB for name, value in parts.items()}
        rows += [
            LedgerRow(key=worker.key, runtime="python", phase="rounds", round=n, t_ns=n, explained_share=share, **sizes)
            for n, share in ((1, 0.9), (2, 0.98), (3, 1.0))
        ]
    return replace(made, workers=workers, ledger=rows, **others)  # type: ignore[arg-type]


def test_of_one_worker() -> None:
    assert ledger_line(report()) == (
        "of the worker's 100.0 MiB: live 60.0 MiB, held by allocators 10.0 MiB, outside of allocators 12.0 MiB, "
        "program data 2.0 MiB, files 15.0 MiB, unexplained 1.0 MiB; 98.0 % explained (median of 3 floors)"
    )


def test_the_average_worker_and_swap() -> None:
    line = ledger_line(report(({}, {"pss": 140, "live": 100, "swap": 4})))
    assert line is not None
    assert line.startswith("of each worker's 120.0 MiB: live 80.0 MiB, held")
    assert "and 2.0 MiB swapped out" in line


def test_unknown_parts_are_called_so_or_left_out() -> None:
    made = report()
    rows = [
        replace(row, live=None, allocator_held=None, other_native=None, explained_share=None) for row in made.ledger
    ]
    line = ledger_line(replace(made, ledger=rows))
    assert line == (
        "of the worker's 100.0 MiB: live unknown, held by allocators unknown, program data 2.0 MiB, files 15.0 MiB, "
        "unexplained 1.0 MiB"
    )


def test_nothing_where_nobody_was_measured() -> None:
    assert ledger_line(empty_report()) is None
    assert ledger_line(replace(report(), workers=())) is None
    made = report()
    assert ledger_line(replace(made, ledger=[replace(row, phase="warmup") for row in made.ledger])) is None


def test_it_is_in_the_short_reports() -> None:
    made = report()
    assert summarise(made).memory == ledger_line(made)
    assert "memory       of the worker's 100.0 MiB: live 60.0 MiB" in render(made)
