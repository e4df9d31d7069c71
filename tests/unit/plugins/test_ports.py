from __future__ import annotations

import socket
from pathlib import Path

from harness.plugins.ports import free_port


def test_the_port_is_free_and_not_one_that_connections_get() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for _ in range(5):
        port = free_port()
        assert not low <= port <= high
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", port))
