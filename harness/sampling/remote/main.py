"""``__main__`` of the archive: its first argument says which part of it to run."""

from __future__ import annotations

import runpy
import sys
from typing import Dict

PARTS: Dict[str, str] = {
    "sampler": "harness.sampling",
    "guard": "harness.targets.guard",
    "keep": "harness.sampling.remote.keep",
    "agent": "harness.sampling.remote.agent",
    "find": "harness.sampling.remote.find",
    "link": "harness.sampling.remote.link",
}


def main() -> None:
    """Runs it as ``python -m`` would."""
    module = PARTS[sys.argv.pop(1)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
