"""This machine, reached like any other: what a connector must do, without a network in between."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.errors import TargetError
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done, FileTooLong


class LocalConnector:
    """See `Connector`."""

    name = "local"

    def command(self, argv: Sequence[str]) -> list[str]:
        """The same words."""
        return list(argv)

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        """See `Connector`."""
        try:
            done = subprocess.run(list(argv), input=stdin, capture_output=True, timeout=timeout_s, check=False)
        except FileNotFoundError:
            return Done(127, b"", f"{argv[0]}: not found".encode())
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"{argv[0]} took longer than {timeout_s:g} s here") from error
        return Done(done.returncode, done.stdout[:cap_bytes], done.stderr[:cap_bytes])

    def put(self, data: bytes, path: PurePosixPath) -> None:
        """See `Connector`."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError as error:
            raise TargetError(f"cannot write {path}: {error.strerror}") from error

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """See `Connector`."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(cap_bytes + 1)
        if len(data) > cap_bytes:
            raise FileTooLong(f"{path} is longer than {cap_bytes} bytes")
        return data

    def close(self) -> None:
        """Nothing is held."""
