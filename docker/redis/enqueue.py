"""``enqueue.py NUMBER [BYTES]``: as many jobs, and waits until they are done. BYTES: what each leaves behind in the worker."""

import json
import os
import sys
import time

import redis

number, keep = int(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])
store = redis.Redis.from_url(os.environ["REDIS"])
goal = int(store.get("done") or 0) + number
for _ in range(number):
    store.rpush("jobs", json.dumps({"keep": keep}))
while int(store.get("done") or 0) < goal:
    time.sleep(0.01)
