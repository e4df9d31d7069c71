"""Rules that recognise a cause of growth. One file each with a module-level ``RULE``; a new file here is all it takes.

A rule looks at one pool, is pure, and returns nothing when its cause is not there or cannot be told. What the absence of
findings means (healthy, warm-up, inconclusive) is decided in `harness.diagnose.conclusion`, where everything is known.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Protocol

from harness.diagnose.pool import PoolView
from harness.model.finding import Finding


class Rule(Protocol):
    """``id`` names the rule in messages; ``needs`` the metrics without which it cannot judge."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    def check(self, pool: PoolView) -> Sequence[Finding]: ...


def all_rules() -> tuple[Rule, ...]:
    """Every rule in this package, sorted by id."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return tuple(sorted((m.RULE for m in modules), key=lambda rule: rule.id))
