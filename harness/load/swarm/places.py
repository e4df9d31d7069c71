"""Other hosts on which workers are started over SSH, and how these find the master: through the connections that start them.

Beside the workers' own connections there is one to each host whose command makes a private directory, and removes it when its
standard input ends. That connection forwards a socket in this directory to the master's socket here. It is asked for by
``ssh -O forward``, and not on its own command line: there it would stand among what the user's configuration forwards, which has
to be left out (ClearAllForwardings) lest a port of it that is in use ends everything.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from harness.load.engines import EngineError
from harness.load.plan_json import JsonObject

# Run there. Without single quotes and exclamation marks, so that every login shell hands it on as it is. A path of a
# socket has 108 bytes at most.
HOLD = (
    'umask 077; d=${TMPDIR:-/tmp}; [ ${#d} -le 70 ] || d=/tmp; d=$(mktemp -d "$d/harness-load-XXXXXXXXXX") || exit 1; '
    'echo "harness-load $d"; cat >/dev/null; rm -rf "$d"'
)
_WORD = b"harness-load "
_MADE = re.compile(_WORD + rb"(/(?:[A-Za-z0-9._+@-]{1,90}/){1,20}harness-load-[A-Za-z0-9]{10})\n")
_SOCKET = "m"
_LONGEST_PATH = 100
_GREETING_LINES = 100
_UNREACHABLE = 255  # ssh(1): "exits with the exit status of the remote command or with 255 if an error occurred"
_WAIT_S = 30.0
LAST_WORDS_BYTES = 4096
_WHY_LETTERS = 300


@dataclass(frozen=True, slots=True)
class Place:
    """``command``: the words, here, that run `harness.load.swarm.export.BOOTSTRAP` there. ``hold``: those that run `HOLD`;
    ``forward``: those that, with the two ends of a forwarding behind them (ssh(1), ``-R``), have that connection forward.
    Both are empty where the workers find the master by an address."""

    name: str
    workers: int
    command: tuple[str, ...]
    hold: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> Place:
        """ValueError when it is none."""
        read = JsonObject(data, "options.places")
        place = cls(
            read.text("name"),
            read.integer("workers"),
            read.strings("command"),
            read.strings("hold"),
            read.strings("forward"),
        )
        read.done()
        return place


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where a worker finds the master: a host and a port, or the path of a socket (``host``) without one."""

    host: str
    port: int = 0

    @property
    def words(self) -> str:
        """As `harness.load.swarm.export.package` takes it."""
        return f"{self.host} {self.port}" if self.port else self.host


async def start_tunnel(place: Place) -> asyncio.subprocess.Process:
    """Connect to a host, to be followed by `lay`. It ends with its standard input. Raises EngineError."""
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(*place.hold, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise EngineError(f"cannot connect to {place.name}: {place.hold[0]}: {error.strerror}") from None


async def lay(place: Place, tunnel: asyncio.subprocess.Process, here: str) -> str:
    """Have the socket ``here`` reached from the host; the path of its other end. Raises EngineError."""
    try:
        async with asyncio.timeout(_WAIT_S):
            directory = await _directory(place, tunnel)
            there = f"{directory}/{_SOCKET}"
            await _forward(place, f"{there}:{here}")
    except TimeoutError:
        raise EngineError(f"{place.name} did not answer over SSH within {_WAIT_S:.0f} s") from None
    return there


async def _forward(place: Place, ends: str) -> None:
    pipe = asyncio.subprocess.PIPE
    asked = await asyncio.create_subprocess_exec(
        *place.forward, ends, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        _, errors = await asked.communicate()
    finally:
        if asked.returncode is None:
            asked.kill()
    if asked.returncode:
        raise EngineError(
            f"{place.name} does not let its workers speak through the SSH connection ({_first_line(errors)}): allow it there "
            "(AllowStreamLocalForwarding in sshd_config), or give load.listen, an address of this machine that they can reach"
        )


async def _directory(place: Place, tunnel: asyncio.subprocess.Process) -> str:
    """Which one was made there; a login script may have said something before."""
    assert tunnel.stdout is not None
    assert tunnel.stderr is not None
    for _ in range(_GREETING_LINES):
        try:
            line = await tunnel.stdout.readline()
        except ValueError:  # of a line that is too long
            break
        made = _MADE.fullmatch(line)
        if made is not None and len(made[1]) <= _LONGEST_PATH:
            return made[1].decode("ascii")
        if line.startswith(_WORD):
            raise EngineError(f"{_no_directory(place)}: its path has letters that cannot be used; is TMPDIR set there?")
        if not line:
            said = last_line(await tunnel.stderr.read(LAST_WORDS_BYTES)) or "no reason given"
            if await tunnel.wait() != _UNREACHABLE:
                raise EngineError(f"{_no_directory(place)}: {said}")
            raise EngineError(f"cannot reach {place.name} over SSH: {said}")
    raise EngineError(_no_directory(place))


def _no_directory(place: Place) -> str:
    return f"{place.name} has no directory for the load workers' socket"


def _first_line(text: bytes) -> str:
    return _printable(text.strip().splitlines()[:1])


def last_line(text: bytes) -> str:
    """Of what somebody complains of, short and printable."""
    return _printable(text.strip().splitlines()[-1:])


def _printable(lines: list[bytes]) -> str:
    """What an SSH client or another host says, as one short line."""
    text = b"".join(lines).decode(errors="replace").strip()
    return "".join(c if c.isprintable() else "?" for c in text)[:_WHY_LETTERS]
