"""The engines of another host, by their commands there: asked what they know of a container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import TargetError
from harness.targets.connectors.spec import Connector
from harness.targets.engines.choose import COMMANDS
from harness.targets.engines.command import CommandEngine, is_unknown
from harness.targets.engines.spec import ANSWER_CAP_BYTES, ASK_S, EngineError, NoSuchContainerError, short

_NOT_FOUND = 127  # of a shell, for a command that is not there


@dataclass(frozen=True)
class CommandThere:
    """See `Knowing`. ``program``: ``podman`` or ``docker``, as the user who logs in finds it."""

    connector: Connector
    program: str

    @property
    def label(self) -> str:
        """See `Knowing`."""
        return f"{self.program} on {self.connector.name}"

    def inspect(self, name: str) -> bytes:
        """See `Knowing`."""
        argv = [self.program, "container", "inspect", name]
        try:
            done = self.connector.run(argv, timeout_s=ASK_S, cap_bytes=ANSWER_CAP_BYTES)
        except TargetError as error:
            raise EngineError(error.message) from error
        if done.code == 0:
            return done.output
        said = "is not there" if done.code == _NOT_FOUND else short(done.complaints.decode("utf-8", "replace"))
        text = f"{self.label}: {said or f'exit code {done.code}'}"
        raise NoSuchContainerError(text) if is_unknown(done.complaints) else EngineError(text)

    def exec_line(self, name: str, argv: Sequence[str], *, user: str) -> list[str]:
        """The command line, there, that runs ``argv`` in a container as this user of it."""
        return CommandEngine(self.program).exec_line(name, argv, user=user)


def engines_of(connector: Connector) -> list[CommandThere]:
    """In the order in which they are asked. Nothing is asked yet."""
    return [CommandThere(connector, program) for program in COMMANDS]
