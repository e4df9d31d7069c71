"""The live view on its stderr, a frame for each line on stdin: so that a test decides when it draws.

``frame`` draws one, anything else ends it. Each line is answered on stdout when it has been carried out.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from ticks import MIB, process, tick

from harness.session.live.display import LiveDisplay
from harness.session.live.state import LiveState
from harness.session.live.view import Style


def main() -> None:
    display = LiveDisplay(sys.stderr, LiveState("shop", 10**9, time.monotonic_ns()), Style())
    for number, line in enumerate(sys.stdin, 1):
        if line.strip() != "frame":
            break
        display.on_tick(tick(number, {process(1): number * MIB}))
        display.step(f"step {number}")  # draws, however short ago the last frame was
        sys.stdout.write("drawn\n")
        sys.stdout.flush()
    display.done()


main()
