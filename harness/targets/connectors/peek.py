"""What a run would have on another host: asked by one command, which puts nothing there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from harness.errors import TargetError
from harness.targets.connectors.deploy import SEARCH, NoPython
from harness.targets.connectors.spec import Connector

_NO_PYTHON = 43
_PROGRAMS = Path(__file__).parents[2] / "sampling" / "remote"
# One line without single quotes or exclamation marks, as in `deploy`. The order comes with the program, not on a command line,
# where a text to match would find itself.
_RUN = 'import sys;p,o=sys.stdin.read().split(chr(0));n={"__name__":"look"};exec(compile(p,"look","exec"),n);print(n["look"](o))'
_ASK = SEARCH + 'exec "$p" -I -S -c "$0"; done; exit 43'
_TEXT_CAP = 300
_MOST = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h
_MOST_ROOTS = 1024
_MOST_BYTES = 1 << 62
_RECORDS_S = 60.0  # of all runs since the application was started


@dataclass(frozen=True, slots=True)
class Looked:
    """Another host, in its own printable words. ``why``: the reason why there is nothing to attach to. ``processes`` and
    the rest are 0 where nothing is attached to: how many there are, whose memory may be added up, and looked into. ``roots``:
    those that are meant, without what is below them. ``exe``, ``command``: of the first, for `LanguageAdapter.recognises`."""

    system: str
    user: str
    python: str
    why: str | None
    name: str
    pid: int
    processes: int
    totals: int
    memory: int
    roots: tuple[int, ...] = ()
    exe: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Writers:
    """Who writes into a directory of agents. ``why``: the reason why it cannot be used. ``size``: of its records in bytes.
    ``watched``: processes that would be watched, ``inside`` those of them that an agent is in; ``others``: further ones that
    live and have announced themselves there, 0 also where nobody can know."""

    why: str | None
    size: int
    watched: int
    inside: int
    others: int


def look(connector: Connector, order: Mapping[str, object]) -> Looked:
    """``order``: see `harness.sampling.remote.find`. Raises NoPython, TargetError."""
    said = _answer(connector, "find.py", order)
    why = said.get("why")
    return Looked(
        system=_text(said.get("system")),
        user=_text(said.get("user")),
        python=_text(said.get("python")),
        why=None if why is None else _text(why),
        name=_text(said.get("name")),
        **{key: _number(said.get(key)) for key in ("pid", "processes", "totals", "memory")},
        roots=_numbers(said.get("roots")),
        exe=_text(said.get("exe")),
        command=_text(said.get("command")),
    )


def writers(
    connector: Connector,
    directory: PurePath,
    records: str,
    holds: Sequence[str],
    roots: Sequence[int],
    *,
    contained: bool,
) -> Writers:
    """Of the directory there. ``records``: the name of its file; ``holds``: directories that must be in it; ``contained``: its
    agents call processes by their ids in a container. Raises NoPython, TargetError."""
    order = {"root": str(directory), "records": f"records/{records}", "holds": list(holds), "roots": list(roots),
             "contained": contained}  # fmt: skip
    said = _answer(connector, "agent.py", order, _RECORDS_S)
    why = said.get("why")
    return Writers(
        None if why is None else _text(why),
        _number(said.get("size"), _MOST_BYTES),
        **{key: _number(said.get(key)) for key in ("watched", "inside", "others")},
    )


def _answer(
    connector: Connector, name: str, order: Mapping[str, object], timeout_s: float = 30.0
) -> Mapping[str, object]:
    """What a file of ours says to an order, as a program there."""
    program = f"{(_PROGRAMS / name).read_text(encoding='utf-8')}\0{json.dumps(order)}"
    done = connector.run(["sh", "-c", _ASK, _RUN], stdin=program.encode(), timeout_s=timeout_s)
    if done.code == _NO_PYTHON:
        raise NoPython(f"{connector.name} has no Python 3.8 or newer")
    try:
        said = json.loads(done.output) if done.code == 0 else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise TargetError(
            f"{connector.name} cannot say what runs there: {done.last_words or 'no answer that can be read'}",
            hint="does a greeting of its login shell get into what commands say?",
        )
    return said


def _text(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value or ""))[:_TEXT_CAP]


def _number(value: object, most: int = _MOST) -> int:
    return value if type(value) is int and 0 <= value <= most else 0


def _numbers(value: object) -> tuple[int, ...]:
    found = value[:_MOST_ROOTS] if isinstance(value, list) else []
    return tuple(pid for pid in map(_number, found) if pid)
