"""What a run would have on another host: asked by one command, which puts nothing there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TargetError
from harness.targets.connectors.deploy import SEARCH, NoPython
from harness.targets.connectors.spec import Connector

_NO_PYTHON = 43
_PROGRAM = Path(__file__).parents[2] / "sampling" / "remote" / "find.py"
# One line without single quotes or exclamation marks, as in `deploy`. The order comes with the program, not on a command line,
# where a text to match would find itself.
_RUN = 'import sys;p,o=sys.stdin.read().split(chr(0));n={"__name__":"look"};exec(compile(p,"look","exec"),n);print(n["look"](o))'
_ASK = SEARCH + 'exec "$p" -I -S -c "$0"; done; exit 43'
_TEXT_CAP = 300
_MOST = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h


@dataclass(frozen=True, slots=True)
class Looked:
    """Another host, in its own printable words. ``why``: the reason why there is nothing to attach to. ``processes`` and
    the rest are 0 where nothing is attached to: how many there are, whose memory may be added up, and looked into."""

    system: str
    user: str
    python: str
    why: str | None
    name: str
    pid: int
    processes: int
    totals: int
    memory: int


def look(connector: Connector, order: Mapping[str, object]) -> Looked:
    """``order``: see `harness.sampling.remote.find`. Raises NoPython, TargetError."""
    program = f"{_PROGRAM.read_text(encoding='utf-8')}\0{json.dumps(order)}"
    done = connector.run(["sh", "-c", _ASK, _RUN], stdin=program.encode())
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
    why = said.get("why")
    return Looked(
        system=_text(said.get("system")),
        user=_text(said.get("user")),
        python=_text(said.get("python")),
        why=None if why is None else _text(why),
        name=_text(said.get("name")),
        **{key: _number(said.get(key)) for key in ("pid", "processes", "totals", "memory")},
    )


def _text(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value or ""))[:_TEXT_CAP]


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _MOST else 0
