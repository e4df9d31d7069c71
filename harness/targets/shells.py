"""Shells on other hosts and in containers there, for adapters, which know no connectors. See `harness.plugins.spec.Shell`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import TargetError
from harness.targets.connectors.choose import connector_to
from harness.targets.connectors.spec import Connector
from harness.targets.containers import Life, checked_name, find
from harness.targets.engines.there import engines_of
from harness.targets.there import life_there, outside_pid

_SHELL = ("sh",)
_ROOT = "0"  # reads and removes what workers of any user wrote


def shell_to(address: str, container: str | None) -> HostShell | ContainerShell:
    """On the host of this address, or in a container there, by its name or id. Raises UsageError."""
    connector = connector_to(address)
    return HostShell(connector) if container is None else ContainerShell(connector, checked_name(container))


@dataclass
class HostShell:
    """See `Shell`."""

    connector: Connector

    def command(self) -> Sequence[str]:
        """See `Shell`."""
        return self.connector.command(_SHELL)

    def pid_outside(self, pid: int) -> int | None:
        """The same: its ids are the host's."""
        return pid

    def close(self) -> None:
        """See `Shell`."""
        self.connector.close()


@dataclass
class ContainerShell:
    """See `Shell`. The engine is asked by its command there, as the user who logs in finds it."""

    connector: Connector
    name: str
    _life: Life | None = None  # that `command` found last; None where its processes are none of that host's

    def command(self) -> Sequence[str]:
        """See `Shell`."""
        engine, state = find(self.name, engines_of(self.connector))
        if not state.running:
            why = f"the container {self.name} on {self.connector.name} does not run"
            raise TargetError(why, hint=f"`{engine.program} start {self.name}` on {self.connector.name}")
        self._life = life_there(self.connector, state)
        return self.connector.command(engine.exec_line(self.name, _SHELL, user=_ROOT))

    def pid_outside(self, pid: int) -> int | None:
        """See `Shell`."""
        if self._life is None:
            return None
        try:
            return outside_pid(self.connector, self._life, pid)
        except TargetError:
            return None  # the connection is down

    def close(self) -> None:
        """See `Shell`."""
        self.connector.close()
