"""Takes jobs from the list ``jobs`` until it is told to end; every job leaves a little behind."""

import json
import os
import signal
import sys

import redis

KEPT = []


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    store = redis.Redis.from_url(os.environ["REDIS"])
    while True:
        found = store.blpop("jobs", timeout=1)
        if found is not None:
            job = json.loads(found[1])
            KEPT.append("x" * int(job.get("keep", 0)))
            store.incr("done")


main()
