"""What the harness asks of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ASK_S = 20.0
ANSWER_CAP_BYTES = 4 << 20
_SAID_CAP = 200


class EngineError(Exception):
    """The engine said no, nothing, or something that cannot be read; the text is printable and short."""

    def __init__(self, text: str) -> None:
        super().__init__(short(text))


class NoSuchContainerError(EngineError):
    """It does not know the container."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ran to its end. ``output`` and ``errors`` are cut at the cap that was asked for."""

    code: int
    output: bytes
    errors: bytes


class Knowing(Protocol):
    """Who knows containers: an engine, here or on another host.

    ``name``: of a container, matched by `harness.targets.containers.checked_name`, or its id.
    """

    @property
    def label(self) -> str:
        """For people and for the run's facts."""
        ...

    def inspect(self, name: str) -> bytes:
        """What it knows of a container, as JSON: the object of Docker's API, or a list that holds it. Raises EngineError, and
        NoSuchContainerError where there is no such container."""
        ...


class Engine(Knowing, Protocol):
    """An engine of this machine. Every method raises as `inspect` does."""

    def run(
        self, name: str, argv: Sequence[str], given: bytes, *, user: str | None, cap_bytes: int, timeout_s: float
    ) -> Ran:
        """Run a command in it; ``given`` is all that it can read."""
        ...

    def archive(self, name: str, path: str, cap_bytes: int) -> bytes:
        """A tar archive of one path in it, cut at ``cap_bytes``."""
        ...

    def extract(self, name: str, directory: str, archive: bytes) -> None:
        """Unpack a tar archive in a directory of it that exists."""
        ...


def short(text: str) -> str:
    """The last line of what somebody said, printable."""
    last = (text.strip().splitlines() or [""])[-1]
    return "".join(c if c.isprintable() else "?" for c in last)[:_SAID_CAP]
