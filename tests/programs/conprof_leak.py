"""A program that grows by 2 MB ten times a second under Blackfire's continuous profiler, which uploads every second."""

import sys
import time

from blackfire_conprof.profiler import Profiler

KEPT = []


def leak():
    KEPT.append([b"x" * 1000 + str(i).encode() for i in range(2000)])


def main():
    profiler = Profiler(application_name="conprof-leak", period=1)
    profiler.start()
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        leak()
        time.sleep(0.1)
    profiler.stop()
    sys.stdout.write(f"{sum(sys.getsizeof(text) for rows in KEPT for text in rows)}\n")


if __name__ == "__main__":
    main()
