"""A directory of agents on another host as if it lay here: its part `harness.sampling.remote.agent` sends what is appended to the
records, and results that this run has asked for; orders go the other way.

What arrives is as hostile as the target: it is stored under names of our own making, with caps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import TargetError
from harness.model.process import ProcessInfo
from harness.model.span import ToolRecord
from harness.plugins import orders
from harness.plugins.records import parse_record
from harness.plugins.spec import Away
from harness.session.agents.deployed import UNUSABLE_FIX, unusable
from harness.session.hosts.remote import RemoteHost, RemoteProgram, cpu_of
from harness.session.pump import Pump
from harness.store.afar import RECORDS, Arrived
from harness.store.hosts import MOST_OFFSET_NS
from harness.store.intake import FILE_CAP
from harness.store.writer import RecordingError

RESULTS = "results"
RESULT_CAP_BYTES = 32 << 20  # as of a result that is read here
_READY_S = 60.0
_TOLD_S = 10.0
_DRAIN_S = 30.0
_LAY_BYTES = 96 << 10  # of one message
_MOST_EXPECTED = 1 << 16
_LONGEST_LINE = 8192  # what is longer is no record


@dataclass
class _Question:
    """An order on its way, asked from a thread of its own."""

    answered: threading.Event = field(default_factory=threading.Event)
    pids: tuple[int, ...] = ()
    why: str = "nobody answered"


@dataclass
class _Fetched:
    """A result on its way; ``line`` is the record that names it, which waits for it."""

    line: bytes
    data: bytearray = field(default_factory=bytearray)


class Mirror:
    """One directory, ``there`` on its host and ``work_dir`` here. ``name``: of the place, the host's or of a container on it;
    ``records``: the name of its records file; ``order``: the path of the file with orders in it; ``alive``: the processes that
    are followed; ``lost``: told why, when records come no more."""

    def __init__(
        self, host: RemoteHost, name: str, there: PurePosixPath, work_dir: Path, records: str, order: str,
        alive: Callable[[], Iterable[ProcessInfo]], lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.host = host
        self.name = name
        self.there = there
        self.work_dir = work_dir
        self._records_name = records
        self._order_name = order
        self._alive = alive
        self._lost = lost
        self._ending = False
        # How ids of agents in a container become those of their host; None: they are those.
        self.outside: Callable[[int, int | None], int | None] | None = None
        self._arrived: Arrived | None = None
        self._program: RemoteProgram | None = None
        self._ready = False
        self._refused = ""
        self._rest = b""
        self._size = 0
        self._expected: set[str] = set()
        self._fetching: dict[str, _Fetched] = {}
        self._number = 0
        self._numbering = threading.Lock()
        self._questions: dict[int, _Question] = {}
        self._drained = 0
        self.cpu_ns: int | None = None  # of the part there, until the last drain

    @property
    def away(self) -> Away:
        """For the adapter."""
        return Away(self.host.spec.label, self.host.offset_ns, self.post, self.expect)

    # -- the whole story -----------------------------------------------------------------------------------------------

    def begin(self, pump: Pump, stage: Path | None = None) -> None:
        """Have it kept there; ``stage``: a directory here whose content is laid down there first. Raises TargetError."""
        for name in (RECORDS, RESULTS):
            (self.work_dir / name).mkdir(mode=0o700, parents=True)
        (self.work_dir / RECORDS / self._records_name).touch(mode=0o600)
        self._program = self.host.run(f"agent-{self.name}", "agent")
        self._program.listen(pump, self._on_message, self._on_gone)
        if stage is not None:
            self._lay(stage)
        self._program.send(
            cmd="own", root=str(self.there), records=f"{RECORDS}/{self._records_name}", orders=self._order_name, results=RESULTS,
            records_cap=FILE_CAP, contained=self.outside is not None,
        )  # fmt: skip
        pump.until(lambda: self._ready or bool(self._refused), _READY_S)
        if not self._ready:
            why = self._refused or "nobody answered"
            raise TargetError(f"{self.host.spec.label}: {unusable(self.there, why)}", hint=UNUSABLE_FIX)
        label = self.host.spec.label
        self._note(Arrived(self.name, label, str(self.there), stage is None, self.outside is not None))

    def _lay(self, stage: Path) -> None:
        """Files of ours, a few at a time."""
        assert self._program is not None
        entries = sorted(stage.rglob("*"))
        dirs = [[str(p.relative_to(stage)), p.stat().st_mode & 0o7777] for p in entries if p.is_dir()]
        self._program.send(cmd="lay", root=str(self.there), dirs=dirs)
        files: list[list[object]] = []
        size = 0
        for path in (p for p in entries if p.is_file()):
            text = path.read_bytes().decode("latin-1")
            files.append([str(path.relative_to(stage)), path.stat().st_mode & 0o7777, text])
            size += len(text)
            if size > _LAY_BYTES:
                self._program.send(cmd="lay", root=str(self.there), files=files)
                files, size = [], 0
        self._program.send(cmd="lay", root=str(self.there), files=files)

    def drain(self, pump: Pump) -> None:
        """Have everything here that was written there until now."""
        if self._program is None or self._program.ended or not self._ready:
            return
        number = self._next()
        self._program.send(cmd="drain", id=number)
        pump.until(lambda: self._drained >= number or self._program is None or self._program.ended, _DRAIN_S)

    def end(self, pump: Pump) -> None:
        """Let go of it: results that are left there are removed."""
        self.drain(pump)
        self._ending = True
        if self._program is not None:
            self._program.hang_up()

    # -- for the adapter, from any thread ------------------------------------------------------------------------------

    def post(self, number: int, verb: str, rest: str, pids: Sequence[int]) -> Sequence[int]:
        """See `Away`. Numbers there go by that host's clock, so that those of a later run are higher, from whatever machine."""
        if self._program is None or self._program.ended:
            raise TargetError(f"the part that keeps the agent's directory of {self.name} has ended")
        known = {info.key.pid: info.key.start_ticks for info in self._alive() if info.key.host == self.host.spec.label}
        ours = self._next()
        question = self._questions[ours] = _Question()
        text = f"{number + self.host.offset_ns} {verb} {rest}\n"
        told = [[pid, known[pid]] for pid in pids if pid in known]
        self._program.send(cmd="order", id=ours, text=text, signal=orders.NUMBER, pids=told)
        answered = question.answered.wait(_TOLD_S)
        self._questions.pop(ours, None)
        if not answered or question.why:
            raise TargetError(f"orders cannot be given on {self.host.spec.label}: {question.why}")
        return [pid for pid in question.pids if pid in known]

    def _next(self) -> int:
        with self._numbering:
            self._number += 1
            return self._number

    def expect(self, name: str) -> None:
        """See `Away`."""
        if len(self._expected) < _MOST_EXPECTED:
            self._expected.add(name)

    # -- what comes from there -----------------------------------------------------------------------------------------

    def _on_message(self, m: Mapping[str, Any]) -> None:
        kind = m.get("k")
        if kind == "records":
            self._on_records(str(m["data"]).encode("latin-1"))
        elif kind == "all":
            self._on_all(int(m["t"]))
        elif kind == "told":
            question = self._questions.get(int(m["id"]))
            if question is not None:
                question.pids, question.why = tuple(int(pid) for pid in m["pids"]), str(m["why"])[:200]
                question.answered.set()
        elif kind == "file":
            self._on_file(str(m["name"]), str(m["data"]).encode("latin-1"), last=bool(m["last"]))
        elif kind == "no file":
            fetched = self._fetching.pop(str(m["name"]), None)
            if fetched is not None:
                self._store(fetched.line)  # whoever opens the result will say that it is not there
        elif kind == "drained":
            self._drained = int(m["id"])
            self.cpu_ns = cpu_of(m)
        elif kind == "ready":
            self._ready = True
        elif kind == "refused":
            self._refused = _printable(str(m["why"]))

    def _on_records(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:  # so that one without an end fills no memory
            lines.append(self._rest)
            self._rest = b""
        self._store(*[line for line in lines if not self._fetch_first(line)])

    def _on_all(self, there_ns: int) -> None:
        """All that was in the records then has come."""
        if not 0 <= there_ns < MOST_OFFSET_NS:
            raise ValueError("time of records")
        if self._arrived is not None:
            until_ns = there_ns - self.host.offset_ns
            self._note(replace(self._arrived, until_ns=until_ns, size_bytes=self._size))

    def _note(self, arrived: Arrived) -> None:
        """Keep it for whoever finds the run after this session was killed."""
        self._arrived = arrived
        try:
            arrived.write(self.work_dir)
        except OSError as error:
            raise _not_written(self.work_dir, error) from error

    def _fetch_first(self, line: bytes) -> bool:
        """Whether a record names a result that this run has asked for: it is fetched, once, before anybody sees the record."""
        if b'"k":"tool"' not in line or self._program is None:
            return False
        record = parse_record(line)
        if not isinstance(record, ToolRecord) or record.file not in self._expected:
            return False
        self._expected.discard(record.file)
        self._fetching[record.file] = _Fetched(line)
        pid = record.pid if self.outside is None else self.outside(record.pid, None)
        self._program.send(cmd="fetch", name=record.file, pid=pid or 0, cap=RESULT_CAP_BYTES)
        return True

    def _on_file(self, name: str, data: bytes, *, last: bool) -> None:
        fetched = self._fetching.get(name)
        if fetched is None:
            return
        fetched.data += data
        if len(fetched.data) > RESULT_CAP_BYTES:
            del self._fetching[name]
            self._store(fetched.line)
        elif last:
            del self._fetching[name]
            self._write(self.work_dir / RESULTS / name, fetched.data)  # a name of our own making
            self._store(fetched.line)

    def _store(self, *lines: bytes) -> None:
        data = b"".join(line + b"\n" for line in lines)
        if self._size + len(data) > FILE_CAP:
            return
        self._size += len(data)
        self._write(self.work_dir / RECORDS / self._records_name, data)

    def _write(self, path: Path, data: bytes | bytearray) -> None:
        try:
            with path.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise _not_written(path, error) from error

    def _on_gone(self) -> None:
        self._refused = self._refused or "the part that keeps it has ended"
        if self._ready and not self._ending:
            said = self._program.complaints.decode(errors="replace").strip().splitlines() if self._program else []
            why = _printable(said[-1] if said else "no reason given")
            self._lost(f"the part that keeps the agent's directory ended: {why}{self._until()}")
        for question in list(self._questions.values()):
            question.answered.set()
        unfetched = [fetched.line for fetched in self._fetching.values()]
        self._fetching.clear()
        self._store(*unfetched)  # the records are there, their results will not come

    def _until(self) -> str:
        """In words, how much of what was recorded there is here."""
        if self._arrived is None or self._arrived.until_ns is None:
            return ""
        ago_s = (self.host.recorded_now_ns() - self._arrived.until_ns) / 1e9
        return f"; what was recorded up to {ago_s:.1f} s before that is here"


def keeping(hosts: Iterable[RemoteHost], mirrors: Sequence[Mirror], of_ns: int) -> dict[str, float | None]:
    """What keeping and sending home what is recorded took on other hosts, as costs of a run that took ``of_ns``: the keeper and
    the parts that keep agents' directories, % of one CPU. None where one of them did not say; nothing of a host without Python,
    which has neither."""
    found: dict[str, float | None] = {}
    for host in hosts:
        if host.has_python:
            used = [host.keeper_cpu_ns, *(mirror.cpu_ns for mirror in mirrors if mirror.host is host)]
            said = [cpu_ns for cpu_ns in used if cpu_ns is not None]
            percent = round(100 * sum(said) / of_ns, 3) if len(said) == len(used) else None
            found[f"keeper_cpu_percent.{host.spec.label}"] = percent
    return found


def _not_written(path: Path, error: OSError) -> RecordingError:
    return RecordingError(f"cannot write {path}: {error.strerror}", hint="is the disk full?")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
