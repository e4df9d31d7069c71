"""What a specimen is: an application, the traffic that it gets, and what a right verdict about it says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

APPS = Path(__file__).parent / "apps"
MARK = "<- kept here"
_MARKED = re.compile(rb"[ \t]*(#|//)[ \t]*" + MARK.encode() + rb"[^\n]*")


class Group(StrEnum):
    """HELD_OUT: from the same families with other seeds, sizes, speeds and orders. Nobody looks at single ones to tune rules."""

    DEVELOPMENT = "development"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Place:
    """The line that keeps the memory: the one in ``file`` (below ``apps/``) that ends with a comment ``<- kept here``. Where
    nothing is kept, but garbage, holes or a peak are made, the line that makes them.

    ``label``: where a file has several such lines, the word after the mark (``# <- kept here: closures``).
    """

    file: str
    function: str
    label: str = ""

    def lines(self) -> tuple[int, ...]:
        """Numbers of the marked lines. ValueError: there is none, so the truth is out of date."""
        wanted = re.compile(
            rf"(#|//)\s*{re.escape(MARK)}" + (rf":\s*{re.escape(self.label)}\s*$" if self.label else "")
        )
        text = (APPS / self.file).read_text(encoding="utf-8")
        found = tuple(number for number, line in enumerate(text.splitlines(), 1) if wanted.search(line))
        if not found:
            raise ValueError(f"{self.file}: no line is marked with {MARK!r} {self.label!r}")
        return found


@dataclass(frozen=True, slots=True)
class Truth:
    """What is the case, and which verdicts are right about it.

    ``causes``: the accepted verdicts, the true cause first. ``why`` says how the specimen was made, in a sentence.
    ``healthy``: nothing here has to be repaired, so any kind of leak in the verdict is a false alarm.
    ``also``: causes that may be found beside the verdict; ``must_also``: causes that have to be.
    ``endpoints``: endpoint -> bytes that one request to it keeps, the worst first; None where a number would have no meaning
    (caches, garbage that comes and goes). Empty: no endpoint is to blame, and naming one is a mistake.
    ``below_mdl``: "healthy" and "inconclusive" are right as well, if the MDL that is printed with them is above the growth per
    request of the whole traffic.
    ``place``: the line to be named if the cause is leak.objects; with other causes it may be left open, but not be another one.
    """

    causes: tuple[str, ...]
    why: str
    healthy: bool = False
    also: tuple[str, ...] = ()
    must_also: tuple[str, ...] = ()
    endpoints: Mapping[str, int | None] = field(default_factory=dict)
    place: Place | None = None
    below_mdl: bool = False
    pool: str | None = None

    @property
    def cause(self) -> str:
        """The true one."""
        return self.causes[0]

    @property
    def endpoint(self) -> str | None:
        """The one that keeps most."""
        return next(iter(self.endpoints), None)

    @property
    def bytes_per_request(self) -> int | None:
        """Of that endpoint."""
        return self.endpoints[self.endpoint] if self.endpoint is not None else None


@dataclass(frozen=True, slots=True)
class Specimen:
    """One labelled application.

    ``scenario`` is the scenario file (as a mapping; its name is set to the specimen's). In all of its texts, and in those of
    ``files``, these stand for what only the run knows:

    - ``@PORT@``, ``@PORT2@`` ...: free ports of 127.0.0.1, the same in all places of a run;
    - ``@APPS@``: the directory `tests/specimens/apps`;
    - ``@HERE@``: a directory of this run's own, where ``files`` lie. It is not kept.

    ``files``: written into ``@HERE@`` before the run: name -> text.
    ``sources``: files and directories below ``apps/`` that the application consists of; when one changes, it is recorded again.
    ``packages``: requirements for pip; the run gets a virtual environment with them, whose programs come first on PATH.
    Without any, it is the one that runs the tests.
    ``programs``: what must be on PATH; otherwise the specimen is skipped, which is said. ``seed`` is for the record only: it is
    what the family made the other fields from. ``root``: the kernel must let us do something that only root may.
    """

    name: str
    family: str
    runtime: str
    scenario: Mapping[str, object]
    truth: Truth
    group: Group = Group.DEVELOPMENT
    quick: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[str] = ()
    packages: Sequence[str] = ()
    programs: Sequence[str] = ()
    root: bool = False
    seed: int = 0

    def digest(self) -> str:
        """Of all that decides what is recorded (so not of the truth and the marks, which may be corrected afterwards)."""
        sha = hashlib.sha256()
        sha.update(json.dumps([self.scenario, self.files, list(self.packages)], sort_keys=True, default=dict).encode())
        for source in sorted(self.sources):
            for path in _files(APPS / source):
                text = _MARKED.sub(b"", path.read_bytes())
                sha.update(path.relative_to(APPS).as_posix().encode() + b"\0" + text + b"\0")
        return sha.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    if not found:
        raise ValueError(f"{path}: there is nothing")
    return found
