"""Where Xdebug's files appear: here, in another mount namespace, in a container or on another host.

The directory belongs to the target, so all that is in it is hostile. Whoever implements `Outputs` keeps this: only bare names are
looked up, links and special files are never opened, owner and size are checked, nothing is waited for without an end, and what is
fetched gets a name of our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.php.xdebug.tools import XdebugTool
from harness.model.profile import ArtifactStatus

NAMES_CAP = 100_000
LOG_TAIL_BYTES = 1 << 20
WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the directory. ``modified_ns`` is wall time, of the machine the file is on."""

    name: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one file. ``path`` is our copy (with ``.gz`` behind its name where it is compressed), None when there is
    none; ``size_bytes`` the size of the target's file. ``detail`` says what is wrong unless it is complete."""

    status: ArtifactStatus
    detail: str
    path: Path | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WallOffset:
    """How far the wall clock of a place is ahead of ours, and by how much that may be wrong."""

    ns: int
    error_ns: int


HERE = WallOffset(0, 0)


class Outputs(Protocol):
    """One output directory of Xdebug, and the access log of the masters that write there. No method raises for what the target
    did; what cannot be had is told as such."""

    @property
    def label(self) -> str:
        """The place in a few words, for messages."""
        ...

    @property
    def trouble(self) -> str:
        """Why the last that was asked for could not be had of the place as a whole, for people; empty when it could."""
        ...

    def entries(self) -> Sequence[Entry]:
        """What is in the directory, in no order, at most `NAMES_CAP`; () where it cannot be read."""
        ...

    def fetch(self, tool: XdebugTool, name: str, destination: Path, wait_s: float = WAIT_S) -> Fetched:
        """Wait at most ``wait_s`` until the file is complete, and copy it to ``destination``, whose directory is made if needed.
        What stays incomplete is copied as far as it goes and TRUNCATED; nothing is copied of what is REFUSED or MISSING."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove these names, whatever is behind them; directories stay."""
        ...

    def free_bytes(self) -> int | None:
        """What is left for files there; None: not known."""
        ...

    def log_tail(self) -> bytes:
        """The last `LOG_TAIL_BYTES` of the access log at most, beginning anywhere; empty where there is none."""
        ...

    def pid_outside(self, pid: int) -> int | None:
        """What the machine that the place is on calls a process that has this pid in it; None: that is not known."""
        ...

    def wall_offset(self) -> WallOffset:
        """How the clock that names and times of files are made with differs from ours."""
        ...
