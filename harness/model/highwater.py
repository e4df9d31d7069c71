"""A rise of the most memory that a process ever had resident, and the request that it is blamed on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.process import ProcessKey


class Clue(StrEnum):
    """How the request was found: its own record says so, it was the only one, or its endpoint was there each time."""

    RECORD = "record"
    ALONE = "alone"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class HighWater:
    """One rise of the mark. ``since_ns`` to ``t_ns``: the readings around it; ``mark``, ``rise``: bytes; ``kept``: so much of it
    stayed resident, also when all requests of that part of the round had ended; None where that is not known. ``candidates``:
    requests in flight in between.

    ``endpoint``, ``span_id`` and ``started_ns`` are of the request that did it, None where nobody is named; the last two also
    where only the endpoint is known.
    """

    process: ProcessKey
    pool: str
    phase: str
    since_ns: int
    t_ns: int
    mark: int
    rise: int
    kept: int | None
    candidates: int
    endpoint: str | None = None
    span_id: str | None = None
    started_ns: int | None = None
    clue: Clue | None = None
