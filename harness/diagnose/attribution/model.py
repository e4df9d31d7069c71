"""What the split of growth by endpoint says: the estimates, what they rest on, and what drives the growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_CLEAR_HALF_WIDTHS = 1.2


class Measure(StrEnum):
    """What was split: live bytes of the allocators (exact, no pages), the pages of private memory, shared memory, or another
    number: file pages, threads, descriptors, what the kernel charges to a group. Then "bytes" are of that number's unit."""

    LIVE = "live"
    PAGES = "pages"
    SHARED = "shared"
    OTHER = "other"


class Driver(StrEnum):
    """What memory grows with."""

    REQUESTS = "requests"
    TIME = "time"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Driven:
    """Whether memory grows because requests are answered or because time goes by.

    ``time_share``: of all growth over the blocks, so much goes with time, with its 95 % interval; None where the blocks cannot
    tell. ``bytes_per_second``: the same as a rate, of all workers that were observed at a time. ``idle_s``: seconds without
    any traffic in which they were watched.
    """

    by: Driver
    reason: str
    time_share: float | None = None
    ci95: tuple[float, float] | None = None
    bytes_per_second: float | None = None
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EndpointGrowth:
    """Bytes that each request to an endpoint keeps, with a 95 % interval; ``share`` of all growth that it explains.

    ``proven``: above 0 beyond chance among all endpoints together (Holm 1979), by more than a step in which memory is taken, and
    in both halves of the run. What is not proven is 0, with an interval from 0. ``second_half``: the estimate from the later half
    of the blocks. ``blocks_per_request``: live Python allocations each request added, by the agent's count around requests that
    ran alone (mean and 95 % half-width); None without an agent. ``keeping_share``: the part of its requests that keep nearly all
    of that, where it is few of them; None where all do, or where it is not known.
    """

    endpoint: str
    requests: int
    bytes_per_request: float
    ci95: tuple[float, float]
    share: float
    second_half: float
    blocks_per_request: tuple[float, float] | None = None
    proven: bool = False
    keeping_share: float | None = None

    @property
    def clear(self) -> bool:
        """Whether it is proven with room to spare, so that one endpoint alone may contradict a pool that seems healthy."""
        half_width = max(self.bytes_per_request - self.ci95[0], self.ci95[1] - self.bytes_per_request)
        return self.proven and self.bytes_per_request >= _CLEAR_HALF_WIDTHS * half_width


@dataclass(frozen=True, slots=True)
class Attribution:
    """The split of a pool's growth by endpoint. ``dominant`` is set when one endpoint explains at least 60 % of it beyond
    doubt; else ``reason`` says why none is named. ``explained`` is the part of the growth of memory that the proven endpoints
    account for (1.0 = all of it).

    ``measure``: what was split. ``grown_bytes``: growth of memory over all observations; ``live_bytes``: that of live bytes over
    the same, None where they were not read. ``common``: bytes that a request keeps whichever endpoint it goes to, with its 95 %
    interval, over the endpoints that are not proven; None where that is nothing.
    """

    endpoints: Sequence[EndpointGrowth]
    dominant: EndpointGrowth | None
    reason: str
    explained: float | None
    observations: int
    measure: Measure = Measure.PAGES
    grown_bytes: float = 0.0
    live_bytes: float | None = None
    common: tuple[float, tuple[float, float]] | None = None
    driven: Driven = Driven(Driver.UNKNOWN, "no block was observed")

    def leading(self) -> list[EndpointGrowth]:
        """Endpoints that certainly keep memory, largest share first."""
        return sorted((e for e in self.endpoints if e.proven), key=lambda e: -e.share)


def nothing(reason: str) -> Attribution:
    """No split is possible."""
    return Attribution((), None, reason, None, 0)
