"""Our sweep without its process: ``python sweep_loop.py TICKS INTERVAL_S ROOT BUDGET_PERCENT``.

An interval of 0 means back to back; the Sweeper is then told that a second has passed, so that it does each time what it does
in a sweep every second. Its lines go to stdout, as they do in the sampler. Runtimes are not looked into.
"""

from __future__ import annotations

import os
import sys
import time

from sampler import start_line

from harness.sampling import protocol
from harness.sampling.schedule import Due
from harness.sampling.sweep import Sweeper


def main(ticks: int, interval_s: float, root: int, budget_percent: float) -> None:
    order = protocol.decode(start_line(root, interval_s or 1.0, budget_percent, look=False))
    assert isinstance(order, protocol.Start)
    sweeper = Sweeper(order, frozenset((os.getpid(), os.getppid())))
    begun_ns = time.monotonic_ns()
    for tick in range(ticks):
        due_ns = begun_ns + int(tick * interval_s * 1e9)
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        data = sweeper.sweep(begun_ns + tick * order.interval_ns, Due(0, 0))
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
