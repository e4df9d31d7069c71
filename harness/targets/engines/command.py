"""An engine by its command, ``podman`` or ``docker``: whatever that is set up to reach (contexts, ``DOCKER_HOST``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.targets.engines.spec import (
    ANSWER_CAP_BYTES,
    ASK_S,
    EngineError,
    NoSuchContainerError,
    Ran,
    short,
)
from harness.targets.engines.streams import run

_UNKNOWN = ("no such container", "no container with")


@dataclass(frozen=True, slots=True)
class CommandEngine:
    """``path``: of the command; ``words``: what comes first on its command line."""

    path: str
    words: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return Path(self.path).name

    def inspect(self, name: str) -> bytes:
        """See `Engine`."""
        ran = self._ask(("container", "inspect", name), ANSWER_CAP_BYTES)
        return ran.output

    def exec_line(self, name: str, argv: Sequence[str], *, user: str | None = None) -> list[str]:
        """The command line that runs ``argv`` in a container, with our standard streams."""
        return [self.path, *self.words, "exec", "-i", *(() if user is None else ("-u", user)), name, *argv]

    def run(
        self, name: str, argv: Sequence[str], given: bytes, *, user: str | None, cap_bytes: int, timeout_s: float
    ) -> Ran:
        """See `Engine`."""
        ran = run(self.exec_line(name, argv, user=user), given, cap_bytes=cap_bytes, timeout_s=timeout_s)
        if ran.code != 0 and is_unknown(ran.errors):
            raise NoSuchContainerError(self._said(ran))
        return ran

    def archive(self, name: str, path: str, cap_bytes: int) -> bytes:
        """See `Engine`."""
        return self._ask(("cp", f"{name}:{path}", "-"), cap_bytes, enough=True).output

    def extract(self, name: str, directory: str, archive: bytes) -> None:
        """See `Engine`."""
        self._ask(("cp", "-", f"{name}:{directory}"), ANSWER_CAP_BYTES, given=archive)

    def _ask(self, words: Sequence[str], cap_bytes: int, *, given: bytes = b"", enough: bool = False) -> Ran:
        """``enough``: end it once it has said ``cap_bytes``."""
        line = [self.path, *self.words, *words]
        ran = run(line, given, cap_bytes=cap_bytes, timeout_s=ASK_S, enough=enough)
        if ran.code == 0 or (enough and len(ran.output) >= cap_bytes):
            return ran
        raise NoSuchContainerError(self._said(ran)) if is_unknown(ran.errors) else EngineError(self._said(ran))

    def _said(self, ran: Ran) -> str:
        return f"{self.label}: {short(ran.errors.decode('utf-8', 'replace')) or f'exit code {ran.code}'}"


def is_unknown(errors: bytes) -> bool:
    """Whether an engine's command complains of a container that it does not know. Pure."""
    text = errors[-4096:].decode("utf-8", "replace").lower()
    return any(words in text for words in _UNKNOWN)
