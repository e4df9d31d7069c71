"""Another host over SSH, with the OpenSSH client as it is set up for this user.

The client is run, not imitated: the user's configuration, agent, keys, certificates, jump hosts and known hosts are what
they are on the command line, and none of them passes through this program. Nothing is asked (``BatchMode``), and how host
keys are checked is left to the configuration.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from harness.errors import TargetError, UsageError
from harness.redact.secrets import without_secrets
from harness.targets.connectors.sockets import SOCKET, private_directory
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done, FileTooLong
from harness.targets.engines import streams
from harness.targets.engines.spec import EngineError

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}\Z")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}\Z")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?\Z")
_UNREACHABLE = 255  # ssh(1): "exits with the exit status of the remote command or with 255 if an error occurred"
_NO_SUCH_FILE = 44
_BLOCK = 1 << 16
_LAST_WORDS_BYTES = 4096
# A directory that a socket may be in: sun_path has 108 bytes, and ssh adds 17 to the name while it makes it; in options it reads
# spaces and percent signs, and colons between the ends of what it forwards.
_PLAIN = re.compile(r"[A-Za-z0-9._/+@-]{1,69}\Z")

# What a configuration for people may ask for, and a program cannot use. Keeping the line alive is our business: a session that
# has died must be noticed, or every command would wait behind it.
_OPTIONS = (
    "BatchMode=yes", "RequestTTY=no", "RemoteCommand=none", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no",
    "PermitLocalCommand=no", "EscapeChar=none", "LogLevel=ERROR", "ConnectTimeout=15", "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)  # fmt: skip

_GET = '[ -f "$1" ] && [ ! -L "$1" ] || exit 44; exec dd if="$1" bs=65536 count="$2" 2>/dev/null'
_PUT = 'umask 077; set -C; cat >"$1.part" && ln "$1.part" "$1"; code=$?; rm -f "$1.part"; exit "$code"'


@dataclass(frozen=True, slots=True)
class SshPlace:
    """``ssh://user@host:port``; what is None comes from the user's configuration."""

    host: str
    user: str | None = None
    port: int | None = None


def parse_place(url: str) -> SshPlace:
    """Where ``ssh://deploy@staging-1:2222`` is. The host may be an alias of the configuration. Raises UsageError."""
    wrong = f"{_printable(without_secrets(url))!r} is no address of a host"
    hint = "write ssh://host, ssh://user@host or ssh://user@host:port; keys belong into ~/.ssh/config"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(wrong, hint=hint) from error
    host, user = parts.hostname or "", None if parts.username is None else unquote(parts.username)
    place = parts.netloc.rpartition("@")[2]
    if "[" not in place:  # urlsplit lowers names; aliases in a configuration have case
        host = place.partition(":")[0]
    if not url.isprintable():  # urlsplit leaves out line breaks
        raise UsageError(wrong, hint=hint)
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.password
    known = _ADDRESS.match(host) if "[" in place else _HOST.match(host)
    if parts.scheme != "ssh" or rest or not known or (user is not None and not _USER.match(user)):
        raise UsageError(wrong, hint=hint)
    return SshPlace(host, user, port)


class SshConnector:
    """See `Connector`. Commands of `run`, `put` and `get` share one connection (ControlMaster); `command` has its own."""

    def __init__(self, place: SshPlace, program: str = "ssh") -> None:
        self._place = place
        self._program = program
        self._directory: Path | None = None
        self._lock: int | None = None  # held: the directory is in use

    @property
    def name(self) -> str:
        """The host as it was written."""
        return self._place.host

    def command(self, argv: Sequence[str]) -> list[str]:
        """See `Connector`."""
        return [*self._ssh("ControlMaster=no", "ControlPath=none"), shlex.join(argv)]

    def tunnel(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Two command lines. The first one runs ``argv`` there as `command` does, and its connection can be asked to forward
        while it lasts; the second one, with the two ends behind it (ssh(1), ``-R``), asks. Once, and instead of `run`.

        The user's configuration is not read for the second: what it forwards would be asked for as well.
        """
        path = f"ControlPath={self._socket()}"
        hold = [*self._ssh("ControlMaster=yes", path, "ControlPersist=no"), shlex.join(argv)]
        return hold, [self._program, "-F", "/dev/null", "-o", path, "-O", "forward", self._place.host, "-R"]

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        """See `Connector`."""
        words = [
            *self._ssh("ControlMaster=auto", f"ControlPath={self._socket()}", "ControlPersist=60"),
            shlex.join(argv),
        ]
        try:
            ran = streams.run(words, stdin, cap_bytes=cap_bytes, timeout_s=timeout_s, leaves=True)
        except EngineError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise TargetError(
                    "there is no ssh command here", hint="install the OpenSSH client (apt install openssh-client)"
                ) from error
            if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, TimeoutError):
                raise TargetError(str(error)) from error
            raise TargetError(f"{self.name} did not answer within {timeout_s:g} s", hint=self._hint()) from error
        result = Done(ran.code, ran.output, ran.errors)
        if result.code == _UNREACHABLE:
            raise TargetError(
                f"cannot reach {self.name} over SSH: {result.last_words or 'no reason given'}", hint=self._hint()
            )
        return result

    def put(self, data: bytes, path: PurePosixPath) -> None:
        """See `Connector`."""
        done = self.run(["sh", "-c", _PUT, "sh", str(path)], stdin=data)
        if done.code:
            raise TargetError(f"cannot write {path} on {self.name}: {done.last_words}")

    def get(self, path: PurePosixPath, cap_bytes: int) -> bytes | None:
        """See `Connector`."""
        blocks = cap_bytes // _BLOCK + 1
        done = self.run(["sh", "-c", _GET, "sh", str(path), str(blocks)], timeout_s=300, cap_bytes=blocks * _BLOCK)
        if done.code == _NO_SUCH_FILE:
            return None
        if done.code:
            raise TargetError(f"cannot read {path} on {self.name}: {done.last_words or f'exit code {done.code}'}")
        if len(done.output) > cap_bytes:
            raise FileTooLong(f"{path} on {self.name} is longer than {cap_bytes} bytes")
        return done.output

    def close(self) -> None:
        """See `Connector`."""
        if self._directory is None:
            return
        leave = [*self._ssh(f"ControlPath={self._socket()}")[:-1], "-O", "exit", self._place.host]
        with contextlib.suppress(EngineError):
            streams.run(leave, b"", cap_bytes=_LAST_WORDS_BYTES, timeout_s=5.0, leaves=True)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _ssh(self, *options: str) -> list[str]:
        """The client with its options, and the host as the last word."""
        words = [self._program]
        for option in (*_OPTIONS, *options):
            words += ["-o", option]
        if self._place.user is not None:
            words += ["-l", self._place.user]
        if self._place.port is not None:
            words += ["-p", str(self._place.port)]
        return [*words, self._place.host]

    def _socket(self) -> Path:
        if self._directory is None:
            parent = tempfile.gettempdir()
            plain = parent if _PLAIN.match(parent) else "/tmp"  # noqa: S108  # private, by mkdtemp
            self._directory, self._lock = private_directory(plain)
        return self._directory / SOCKET

    def _hint(self) -> str:
        user = "" if self._place.user is None else f"{self._place.user}@"
        port = "" if self._place.port is None else f"-p {self._place.port} "
        return f"`ssh {port}{user}{self.name} true` must work without asking anything: known host key, key or agent"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:120]
