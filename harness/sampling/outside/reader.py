"""What a reader of one runtime offers the sampler. One module a runtime; `READERS` in ``attach.py`` names them."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple, Union

Values = Dict[str, int]  # metric name -> value; what could not be read this time is not in it
Facts = Dict[str, Union[str, int]]  # what was found at attach, for the run: version, build, layout, how


class TypeCount(NamedTuple):
    """Living objects of one type."""

    name: str  # as the runtime says it, printable, capped
    number: int
    size_bytes: int  # of their own blocks only


class Probe:
    """Samples a few counters of one heap, as often as it is asked to."""

    def sample(self) -> "Tuple[int, ...] | None":
        """The values; None when they were not of one moment. Raises Unreadable when the process has gone."""
        raise NotImplementedError


class Reader:
    """One runtime in one process, found and verified. Every method raises Refused (Torn, Unreadable) instead of guessing."""

    runtime = ""  # "python", "php", "glibc": the part after "runtime." in its metrics

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.missing: Dict[str, str] = {}  # signal -> why this process will not have it, found out at attach

    def counters(self) -> Values:
        """What costs at most half a millisecond: for every sweep."""
        raise NotImplementedError

    def probe(self) -> "Probe | None":
        """For sampling between sweeps; None where the runtime has nothing that is worth it."""
        return None

    def walk(self) -> Values:
        """Occupancy of its heaps, in ms per 32 MB: for floors, and as often as the budget allows."""
        raise NotImplementedError

    def types(self, every: int) -> List[TypeCount]:
        """Living objects by type, from every ``every``-th pool, scaled up; the largest by bytes first."""
        raise NotImplementedError
