"""Put the archive on a host and start a keeper from it, in one command: nothing is left there when any of it fails."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import TargetError
from harness.targets.connectors.archive import archive
from harness.targets.connectors.spec import Connector, Done

NOBODY = 3  # as `harness.sampling.remote.link` says it
_NO_PYTHON = 43
_START_TIMEOUT_S = 60.0
_MOST_FACTS = 64
_LONGEST_PATH = 1024

# One line each, without single quotes or exclamation marks, so that every login shell hands them on as they are.
_RECEIVE = (
    "import atexit,hashlib,os,shutil,sys,tempfile;n=int(sys.argv[1]);b=sys.stdin.buffer.read(n);"
    'len(b)==n and hashlib.sha256(b).hexdigest()==sys.argv[2] or sys.exit("the archive arrived damaged");'
    'd=tempfile.mkdtemp(prefix="harness-");atexit.register(shutil.rmtree,d,True);p=os.path.join(d,"harness.pyz");f=open(p,"wb");f.write(b);f.close();'
    'os.execv(sys.executable,[sys.executable,"-I","-S",p,"keep",d,sys.argv[3]])'
)
SEARCH = (
    "for p in python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 /usr/bin/python3 /usr/local/bin/python3 "
    '/opt/python3/bin/python3; do "$p" -I -S -c "import sys; sys.exit(sys.version_info < (3, 8))" >/dev/null 2>&1 && '
)
_LINK = f'[ -e "$3" ] || {{ echo "nothing of the run is left there" >&2; exit {NOBODY}; }}; exec "$0" "$@"'
# The root of a container may be read-only; its shared memory is not.
_FIND = (
    '[ -w "${TMPDIR:-/tmp}" ] || export TMPDIR=/dev/shm; '
    + SEARCH
    + 'exec "$p" -I -S -c "$0" "$1" "$2" "$3"; done; exit 43'
)


class NoPython(TargetError):  # noqa: N818  # says what is the matter
    """The host has no Python that the sampler runs on."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A keeper that waits for its line."""

    directory: PurePosixPath
    python: str
    uid: int
    home: str
    host: Mapping[str, str | int | None]  # facts, as in `RunManifest.host`

    def part(self, name: str) -> list[str]:
        """The command that runs a part of the archive, there."""
        return [self.python, "-I", "-S", str(self.directory / "harness.pyz"), name]

    @property
    def link(self) -> list[str]:
        """The command that connects with it, there. It ends with `NOBODY` also where a container, or the host, was started anew
        and nothing of the run is left."""
        return ["sh", "-c", _LINK, *self.part("link"), str(self.directory)]


def finds_python(connector: Connector) -> bool:
    """Whether the host has a Python that the sampler runs on. Raises TargetError."""
    return connector.run(["sh", "-c", f"{SEARCH}exit 0; done; exit {_NO_PYTHON}"]).code == 0


def reader() -> list[str]:
    """The command that shows files of a host without Python; what it says is for `harness.sampling.remote.bare`."""
    return ["sh", "-c", (Path(__file__).parents[2] / "sampling" / "remote" / "reader.sh").read_text()]


def deploy(connector: Connector, *, silence_s: float, grace_s: float, spool_bytes: int) -> Deployed:
    """Start a keeper. Raises NoPython, and TargetError when anything else is in the way."""
    data = archive()
    order = json.dumps({"silence_s": silence_s, "grace_s": grace_s, "spool_bytes": spool_bytes})
    argv = ["sh", "-c", _FIND, _RECEIVE, str(len(data)), hashlib.sha256(data).hexdigest(), order]
    done = connector.run(argv, stdin=data, timeout_s=_START_TIMEOUT_S)
    if done.code == _NO_PYTHON:
        raise NoPython(f"{connector.name} has no Python 3.8 or newer")
    if done.code:
        why = done.last_words or f"exit code {done.code}"
        raise TargetError(
            f"the sampler does not start on {connector.name}: {why}", hint="is its temporary directory writable?"
        )
    return _deployed(connector, done)


def _deployed(connector: Connector, done: Done) -> Deployed:
    """A login script may have said something first: what counts is the last line."""
    try:
        said = json.loads(done.output.strip().splitlines()[-1])
        facts = {_fact(str(k)[:64]): _fact(v) for k, v in list(said["host"].items())[:_MOST_FACTS]}
        uid = said["uid"]
        if type(uid) is not int or not 0 <= uid < 1 << 32:
            raise ValueError("uid")
        home = "/" if said["home"] == "~" else _path(said["home"])  # a user whom no file knows, as in containers
        return Deployed(PurePosixPath(_path(said["directory"])), _path(said["python"]), uid, home, facts)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        hint = "does its login script print something, or end early?"
        raise TargetError(f"{connector.name} answered with something else than the sampler", hint=hint) from error


def _path(said: object) -> str:
    """An absolute one, which becomes a word of command lines there. ValueError for anything else."""
    if not isinstance(said, str) or not said.startswith("/") or not said.isprintable() or len(said) > _LONGEST_PATH:
        raise ValueError("no path")
    return said


def _fact(said: object) -> Any:
    """A number of 64 bits, a short printable text, or None."""
    if said is None or (type(said) is int and abs(said) < 1 << 63):
        return said
    return "".join(c if c.isprintable() else "?" for c in str(said)[:256])
