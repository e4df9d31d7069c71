"""How much one call of a defect adds to a Python process that does nothing else: the truth that families write down."""

from __future__ import annotations

import json
import subprocess
import sys

from .model import APPS

_PROGRAM = """
import importlib, json, sys
name, size, calls, settings = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
defect = importlib.import_module("defects." + name)

def anonymous():
    with open("/proc/self/smaps_rollup", encoding="ascii") as stream:
        return next(1024 * int(line.split()[1]) for line in stream if line.startswith("Pss_Anon:"))

if hasattr(defect, "start"):
    defect.start({"size": size, **settings})
before, number = anonymous(), 0
for _ in range(8):
    for _ in range(calls):
        number += 1
        defect.use(size, number)
    print((anonymous() - before) / number)
"""


def measure(name: str, size: int, calls: int, settings: str) -> list[float]:
    """Bytes of private memory per call, after one to eight times ``calls``. RuntimeError: the defect failed."""
    json.loads(settings)
    command = [sys.executable, "-c", _PROGRAM, name, str(size), str(calls), settings]
    done = subprocess.run(command, cwd=APPS / "python", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return [float(line) for line in done.stdout.split()]
