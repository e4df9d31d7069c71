"""What the session needs of another host, however it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from harness.errors import TargetError

OUTPUT_CAP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. ``output`` and ``complaints`` are cut at the cap that was asked for."""

    code: int
    output: bytes
    complaints: bytes

    @property
    def last_words(self) -> str:
        """The last line it complained with, printable; empty when there is none."""
        lines = self.complaints.decode(errors="replace").strip().splitlines()
        return "".join(c for c in lines[-1] if c.isprintable())[:300] if lines else ""


class Connector(Protocol):
    """A host that commands can be run on.

    Commands are lists of words and reach the program word for word: nothing is expanded on the way. Every method raises
    TargetError when the host cannot be reached.
    """

    @property
    def name(self) -> str:
        """For people and for the names of processes: letters, digits, dots, hyphens, underscores and ``@``."""
        ...

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line, here, that runs ``argv`` there with its standard streams connected to ours, over a connection of
        its own that nothing else can hold up."""
        ...

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        """Run a command to its end; whatever code it ends with. Raises TargetError after ``timeout_s`` as well."""
        ...

    def put(self, data: bytes, path: PurePosixPath) -> None:
        """Write a new file with mode 0600, whole or not at all. Raises TargetError when it exists or cannot be written."""
        ...

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """The file of exactly this name; None when there is no such regular file. A link is not followed. Raises TargetError when
        it is longer than ``cap_bytes``."""
        ...

    def close(self) -> None:
        """Let go of connections. Calling again does nothing."""
        ...


class FileTooLong(TargetError):  # noqa: N818  # says what is the matter
    """A file there is longer than it may be here."""
