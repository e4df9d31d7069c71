"""What master and workers say to each other, as Locust custom messages, and what both know. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION = 1
ORDER_FROM_STDIN = (
    "HARNESS_LOAD_ORDER"  # set: the first line of standard input says what to do, and its end that all is over
)
SOCKET = "HARNESS_LOAD_SOCKET"  # set: where the master is, by a path (`harness.load.swarm.private`)

# from the master
WELCOME = "harness.welcome"  # {"clock"}
PONG = "harness.pong"  # {"id", "t"}
BLOCK = "harness.block"  # {"job", "phase", "round", "block", "indexes", "first_user"}
PREPARE = "harness.prepare"  # {"job", "phase", "first_user"}
STAGE = (
    "harness.stage"  # {"job", "phase", "rate_from", "rate_to", "seconds", "max_in_flight", "number", "share", "shares",
)
#                                                                                             "start", "spare_user"}
PHASE = "harness.phase"  # {"phase"}
CANCEL = "harness.cancel"  # {}
# from a worker
HELLO = "harness.hello"  # {"version", "host", "pid", "clock", "digest"}
PING = "harness.ping"  # {"id"}
CLOCK = "harness.clock"  # {"error"}: ready
SPANS = "harness.spans"  # {"rows"}
DRAINED = "harness.drained"  # {"job", "done", "error"}
HEALTH = "harness.health"  # {"cpu", "rss", "lag", "in_flight", "dropped", "retried"}
TROUBLE = "harness.trouble"  # {"text"}

START, END, INTENDED = 7, 8, 6  # places of the times in a row of a span (`harness.load.pipe.span_row`)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def clock_id() -> str:
    """Which CLOCK_MONOTONIC this process reads: that of this boot, in this time namespace (time_namespaces(7))."""
    try:
        namespace = str(Path("/proc/self/ns/time").readlink())
    except OSError:  # before Linux 5.6
        namespace = ""
    return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {namespace}"


def digest(plan: Mapping[str, Any]) -> str:
    """The same for two plans that send the same. Where to is left out, and the values of constants: they may be secrets.

    ``plan``: as `LoadPlan.to_json` says it, after it was read: a file may write a weight as 1 or as 1.0.
    """
    kept = {key: value for key, value in plan.items() if key not in {"base_url", "variables", "users"}}
    kept["variables"] = sorted(plan.get("variables", {}))
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
