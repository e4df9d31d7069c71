"""All rules about one set-up, in the order in which they are shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.php.inspection.model import Setup
from adapters.php.inspection.rules_modes import modes
from adapters.php.inspection.rules_names import names
from adapters.php.inspection.rules_output import output
from adapters.php.inspection.rules_php import php
from adapters.php.inspection.rules_secrets import secrets
from harness.plugins.spec import Check, CheckLevel

_RANK = {CheckLevel.ERROR: 0, CheckLevel.WARNING: 1, CheckLevel.INFO: 2}


def mistakes(setup: Setup) -> list[Check]:
    """First what the set-up is (an information), then mistakes, then what could be better, then what could not be read."""
    found = [check for rule in (names, modes, secrets, output, php) for check in rule(setup)]
    found += _loaded_unseen(setup)
    found.sort(key=lambda check: _RANK[check.level])
    return [_what_it_is(setup), *found, *_unread(setup)]


def _what_it_is(setup: Setup) -> Check:
    version = "PHP of unknown version" if setup.php is None else f"PHP {setup.php[0]}.{setup.php[1]}"
    xdebug = "no Xdebug"
    if setup.xdebug.version is not None:
        xdebug = f"Xdebug {setup.xdebug.text}"
        if setup.xdebug.version >= (3, 0):
            xdebug += f", mode {', '.join(sorted(setup.modes)) or 'off'}"
    elif setup.in_force is None:
        xdebug = "what is loaded is not known"
        if setup.mapped_xdebug is not None:
            xdebug = "Xdebug is loaded" if setup.mapped_xdebug else "no Xdebug"
    pools = f", pools: {', '.join(pool.name for pool in setup.pools)}" if setup.pools else ""
    return Check("php.setup", CheckLevel.INFO, f"{setup.title}: {version} ({setup.sapi.value}), {xdebug}{pools}")


def _loaded_unseen(setup: Setup) -> Iterator[Check]:
    """What the process has in its memory against what its configuration says now."""
    if setup.in_force is None or setup.mapped_xdebug is None:
        return
    seen = setup.xdebug.version is not None
    if seen != setup.mapped_xdebug:
        has, says = ("has", "does not load") if setup.mapped_xdebug else ("does not have", "loads")
        yield Check(
            "php.xdebug.restart", CheckLevel.WARNING,
            f"{setup.title} {has} Xdebug in its memory, and its configuration as it can be read now {says} it",
            "restart it, if its files were changed meanwhile",
        )  # fmt: skip


def _unread(setup: Setup) -> Iterator[Check]:
    for unread in setup.unread:
        yield Check("php.unread", CheckLevel.INFO, f"{unread.what} could not be read: {unread.why}", unread.fix or None)
