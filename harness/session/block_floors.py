"""The floors inside a round: heaps are walked there too, as long as that is cheap beside the traffic.

Live bytes at these floors tell endpoints apart many times better than pages do. A walk takes about 5 ms for each process and
15 MB of heap, in the sampler and not in the target, while the target is idle; for large heaps that would make the run longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.model.event import Missing
from harness.sampling.protocol import Depth
from harness.units import format_duration

_CHEAP_S = 0.15
_SHARE = 0.2  # of the time that the traffic of a block takes
_DEAR_IN_A_ROW = 5  # a few may be slow because the machine is busy
_NEVER_AGAIN_S = 2.0


class BlockFloors:
    """Takes them. ``floor``: see `SamplerClient.floor`; ``missing`` is told once when heaps are not walked any more."""

    def __init__(self, floor: Callable[[Depth], int], missing: Callable[[Missing], None]) -> None:
        self._floor = floor
        self._missing = missing
        self._depth = Depth.LIVE
        self._dear = 0

    def take(self, traffic_s: float) -> int:
        """The instant of the floor of a block whose traffic took ``traffic_s``."""
        began = time.monotonic()
        floor_ns = self._floor(self._depth)
        self._judge(time.monotonic() - began, traffic_s)
        return floor_ns

    def _judge(self, took_s: float, traffic_s: float) -> None:
        self._dear = 0 if took_s <= max(_CHEAP_S, _SHARE * traffic_s) else self._dear + 1
        much_too_dear = took_s > _NEVER_AGAIN_S and self._dear > 0
        if self._depth is Depth.COUNTERS or (self._dear < _DEAR_IN_A_ROW and not much_too_dear):
            return
        self._depth = Depth.COUNTERS
        took, traffic = (format_duration(s * 1e9) for s in (took_s, traffic_s))
        reason = f"to walk them takes {took}, and the traffic of a block {traffic}"
        self._missing(
            Missing("runtime.heaps inside rounds", reason, "endpoints are told apart by pages, which is less exact")
        )
