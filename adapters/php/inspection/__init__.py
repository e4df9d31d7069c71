"""How PHP is set up for profiling, and what is wrong with that: gathered by `gather`, judged by `mistakes`, which is pure."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.php.inspection.gather import installed_setups, setups_of
from adapters.php.inspection.mistakes import mistakes
from harness.plugins.spec import Check


def inspect_setups(pids: Sequence[int]) -> list[Check]:
    """Checks about the set-ups of these processes, as far as they are PHP's; about what is installed when there are none.

    Each set-up begins with a check named ``php.setup``. Nothing is of level ERROR: no run fails for it.
    """
    setups = setups_of(pids) if pids else installed_setups()
    return [check for setup in setups for check in mistakes(setup)]
