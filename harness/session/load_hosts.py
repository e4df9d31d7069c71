"""How Locust workers are started on other hosts: over SSH, each by one command that brings what it needs along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.load.swarm.export import BOOTSTRAP
from harness.load.swarm.places import HOLD
from harness.scenario.load import SenderHost
from harness.targets.connectors.ssh import SshConnector, parse_place


class LoadHosts:
    """The hosts of one run. To be closed when all that ``places`` has led to is over."""

    def __init__(self, hosts: Sequence[SenderHost], *, tunnels: bool, program: str = "ssh") -> None:
        """``tunnels``: their workers find the master through the connections. Raises UsageError for an address that is none."""
        self._connectors = [SshConnector(parse_place(spec.host), program) for spec in hosts]
        self.places: list[Mapping[str, object]] = []  # for `harness.load.swarm.places.Place`
        for spec, connector in zip(hosts, self._connectors, strict=True):
            hold, forward = connector.tunnel(["sh", "-c", HOLD]) if tunnels else ([], [])
            command = connector.command([spec.python, "-P", "-c", BOOTSTRAP])
            self.places.append(
                {
                    "name": connector.name,
                    "workers": spec.workers,
                    "command": command,
                    "hold": hold,
                    "forward": forward,
                }
            )

    def close(self) -> None:
        """Remove what the connections had here."""
        for connector in self._connectors:
            connector.close()
