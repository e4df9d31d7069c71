"""Free ports for what an adapter starts later in the run."""

from __future__ import annotations

import random
import socket

from harness.errors import HarnessError

_TRIES = 200


def free_port() -> int:
    """A loopback TCP port that nobody listens on and that the kernel gives to nobody by itself: the load generator's own
    connections could sit on such a one by the time a companion starts. Raises HarnessError when none is found."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
        low, high = (int(word) for word in stream.read().split())
    outside = [*range(10_000, low), *range(high + 1, 65_536)] or [*range(1024, 65_536)]
    for port in random.SystemRandom().sample(outside, min(_TRIES, len(outside))):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(port)
    raise HarnessError("no free TCP port was found on 127.0.0.1")
