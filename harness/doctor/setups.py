"""Mistakes in how runtimes are set up for profiling: every adapter says what it finds. Looks only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.plugins.registry import load_adapter
from harness.plugins.spec import Check, CheckLevel


@dataclass(frozen=True, slots=True)
class Setups:
    """What one runtime's adapter says. No run is kept from starting by it."""

    runtime: str
    checks: tuple[Check, ...]

    @property
    def mistakes(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.level is not CheckLevel.INFO)


def inspect(runtimes: Iterable[str], *looks: Sequence[int]) -> tuple[Setups, ...]:
    """Of these runtimes, those that have something to say. Each of ``looks`` is the pids of one question; () asks for what is
    installed. What is found twice is said once."""
    found = (Setups(name, tuple(_checks(name, looks))) for name in runtimes)
    return tuple(setups for setups in found if setups.checks)


def _checks(runtime: str, looks: Sequence[Sequence[int]]) -> Iterable[Check]:
    adapter = load_adapter(runtime)
    checks: dict[tuple[str, str, str | None], Check] = {}
    for pids in looks:
        try:
            for check in adapter.inspect(pids):
                checks.setdefault((check.name, check.message, check.fix), check)
        except HarnessError as error:
            failed = Check(f"{runtime}.unread", CheckLevel.INFO, error.message, error.hint)
            checks.setdefault((failed.name, failed.message, failed.fix), failed)
    return checks.values()
