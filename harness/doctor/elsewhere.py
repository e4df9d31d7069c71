"""Other hosts of a scenario: whether a run would get there, and what it would find. One command each; nothing is left there."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.plugins.spec import Check, CheckLevel
from harness.scenario.schema import HostSpec
from harness.targets.connectors.deploy import find_python
from harness.targets.connectors.ssh import SshConnector, parse_place

_MEANT = "what follows is looked at on this machine; run harness doctor there for what that host gives"


def checks_of(hosts: Sequence[HostSpec]) -> list[Check]:
    """An error for each host that cannot be reached, a warning for each that has no Python; nothing for the others."""
    found = [check for spec in hosts for check in _check(spec)]
    return [*found, Check("target.host", CheckLevel.INFO, _MEANT)] if hosts else []


def _check(spec: HostSpec) -> list[Check]:
    name = f"target.host {spec.label}"
    try:
        connector = SshConnector(parse_place(spec.host))
        try:
            python = find_python(connector)
        finally:
            connector.close()
    except HarnessError as error:
        return [Check(name, CheckLevel.ERROR, error.message, error.hint)]
    if python is None:
        text = "it has no Python 3.8 or newer: only what a shell can show of /proc would be known"
        costs = "nothing is known from inside the runtimes, and a line that breaks loses samples"
        return [
            Check(name, CheckLevel.WARNING, text, "install python3 there (the harness itself is not needed)", costs)
        ]
    return []
