"""Rules that recognise a cause. One file each with a module-level ``RULE``; a new file in `pool` or `host` is all it takes.

A rule looks at one pool, or at the host, is pure, and returns nothing when its cause is not there or cannot be told. Rules do
not know each other: each says in ``Finding.numbers`` how much of the growth it accounts for (`EXPLAINS`), and
`harness.diagnose.arbiter` decides which finding is the cause and which are secondary. What the absence of findings means
(healthy, warm-up, inconclusive) is decided in `harness.diagnose.conclusion`, where everything is known.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

from harness.diagnose.host import HostView
from harness.diagnose.pool import PoolView
from harness.model.finding import Finding


class PoolRule(Protocol):
    """``id`` names the rule in messages; ``needs`` the metrics without which it cannot judge well, alternatives with `` | ``."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    def check(self, pool: PoolView) -> Sequence[Finding]: ...


class HostRule(Protocol):
    """The same about the machine: its ``needs`` are system-wide metrics (or cgroups')."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    def check(self, host: HostView) -> Sequence[Finding]: ...


def pool_rules() -> tuple[PoolRule, ...]:
    """Every rule in `harness.diagnose.rules.pool`, sorted by id."""
    return tuple(sorted((m.RULE for m in _modules("pool")), key=lambda rule: rule.id))


def host_rules() -> tuple[HostRule, ...]:
    """Every rule in `harness.diagnose.rules.host`, sorted by id."""
    return tuple(sorted((m.RULE for m in _modules("host")), key=lambda rule: rule.id))


def _modules(package: str) -> Sequence[ModuleType]:
    parent = importlib.import_module(f"{__name__}.{package}")
    return [importlib.import_module(f"{parent.__name__}.{m.name}") for m in pkgutil.iter_modules(parent.__path__)]
