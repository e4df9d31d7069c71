"""A container as a place where commands run and files are: by its engine's ``exec`` and the archives of its ``cp``.

Files need no shell and no tar in the image. An archive is read here up to its first entry; nothing is ever unpacked. Docker hands
out a link as a link, which is no file here; podman follows it, within the container.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from harness.errors import TargetError
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done, FileTooLong
from harness.targets.engines.choose import command_for
from harness.targets.engines.spec import Engine, EngineError, NoSuchContainerError

_HEADERS = 1 << 16  # of an archive, beside the file: its name, extended headers, padding
_NO_FILE = ("no such file", "could not find", "not found")


class ContainerConnector:
    """See `Connector`. ``user``: whose commands run there; None = the image's."""

    def __init__(self, engine: Engine, container: str, environ: Mapping[str, str], user: str | None = None) -> None:
        self._engine = engine
        self._container = container
        self._environ = environ
        self._user = user

    @property
    def name(self) -> str:
        """The container's name."""
        return self._container

    def command(self, argv: Sequence[str]) -> list[str]:
        """``podman exec -i`` or ``docker exec -i``. Raises TargetError where neither command is installed."""
        command = command_for(self._engine, self._environ)
        if command is None:
            hint = "apt-get install podman, or docker's command line client"
            raise TargetError(f"no command is installed that reaches {self._engine.label}", hint=hint)
        return command.exec_line(self._container, argv, user=self._user)

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        """See `Connector`."""
        try:
            ran = self._engine.run(
                self._container, argv, stdin, user=self._user, cap_bytes=cap_bytes, timeout_s=timeout_s
            )
        except EngineError as error:
            raise self._trouble(error) from error
        return Done(ran.code, ran.output, ran.errors)

    def put(self, data: bytes, path: PurePosixPath) -> None:
        """See `Connector`. The file belongs to the container's root."""
        if self._entry(path, 0) is not None:
            raise TargetError(f"{path} exists in the container {self._container}")
        entry = tarfile.TarInfo(path.name)
        entry.size, entry.mode = len(data), 0o600
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(entry, io.BytesIO(data))
        try:
            self._engine.extract(self._container, str(path.parent), made.getvalue())
        except EngineError as error:
            raise self._trouble(error) from error

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """See `Connector`."""
        found = self._entry(path, cap_bytes)
        if found is None:
            return None
        entry, archive = found
        if not entry.isreg() or entry.name != path.name:
            return None
        if entry.size > cap_bytes:
            raise FileTooLong(f"{path} in the container {self._container} is longer than {cap_bytes} bytes")
        data = archive[entry.offset_data : entry.offset_data + entry.size]
        if len(data) < entry.size:
            raise TargetError(f"{path} in the container {self._container} did not come whole")
        return data

    def close(self) -> None:
        """Nothing is held."""

    def _entry(self, path: PurePosixPath, cap_bytes: int) -> tuple[tarfile.TarInfo, bytes] | None:
        """The archive's entry of this path, and the archive as far as it was needed; None when there is nothing."""
        if not path.is_absolute() or ".." in path.parts or not path.name:
            raise TargetError(f"{str(path)!r} is no exact path")
        try:
            data = self._engine.archive(self._container, str(path), cap_bytes + _HEADERS)
        except NoSuchContainerError as error:
            raise self._trouble(error) from error
        except EngineError as error:
            if any(words in str(error).lower() for words in _NO_FILE):
                return None
            raise self._trouble(error) from error
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                entry = archive.next()
        except (
            tarfile.TarError,
            ValueError,
            OverflowError,
            EOFError,
            RecursionError,
            IndexError,
            KeyError,
            TypeError,
        ) as error:
            raise TargetError(f"what came for {path} out of the container {self._container} is no archive") from error
        return None if entry is None else (entry, data)

    def _trouble(self, error: EngineError) -> TargetError:
        return TargetError(
            f"the container {self._container} cannot be reached: {error}", hint="does it run? `docker ps`"
        )
