"""PSS and USS of a tree by psutil: ``python psutil_loop.py TICKS INTERVAL_S ROOT``. Prints the number of samples of each tick."""

from __future__ import annotations

import sys
import time

import psutil


def main(ticks: int, interval_s: float, root: int) -> None:
    master = psutil.Process(root)
    begun_s = time.monotonic()
    for tick in range(ticks):
        time.sleep(max(0.0, begun_s + tick * interval_s - time.monotonic()))
        found = [process.memory_full_info() for process in (master, *master.children(recursive=True))]
        print(sum(one.pss > 0 and one.uss > 0 for one in found))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
