"""How Locust workers are started on other hosts: over SSH, each by one command that brings what it needs along."""

from __future__ import annotations

from collections.abc import Sequence

from harness.load.swarm.export import BOOTSTRAP
from harness.scenario.load import SenderHost
from harness.targets.connectors.ssh import SshConnector, parse_place


def launches(hosts: Sequence[SenderHost], listen: str) -> list[tuple[str, list[str]]]:
    """For each worker the host's name and the command, here, that starts it there; its standard input is what keeps it alive.

    ``listen``: ``HOST:PORT``, where they find the master. Raises UsageError for an address that is none.
    """
    master, _, port = listen.rpartition(":")
    found = []
    for spec in hosts:
        connector = SshConnector(parse_place(spec.host))
        command = connector.command([spec.python, "-P", "-c", BOOTSTRAP, master.strip("[]"), port])
        found += [(connector.name, command)] * spec.workers
    return found
