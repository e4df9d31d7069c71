"""Follow the files that agents append to, and store what parses.

The files are written by the target: nothing about them is trusted. A file is followed only if it is a regular file directly
matching the adapter's pattern; at most `FILE_CAP` bytes of each are read per run; a line without an end stays unread until
it has one or grows past the cap of the parser.

Beside what it stores it knows which processes announced themselves, and keeps the answers to the last question that was asked.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord
from harness.plugins.records import LINE_CAP, moment_of
from harness.plugins.spec import ParsedRecord, RecordSource
from harness.store.followed import Followed
from harness.store.timings import Timings
from harness.store.writer import Recorder

FILE_CAP = 4 << 30
_CHUNK = 4 << 20
_BY_AGENT = "-agent"
_MOST_ANNOUNCED = 1 << 16
_MOST_SPANS = 1 << 12
_MOST_UNPLACED = 1 << 17  # each is looked at again in every poll
_PLACE_WITHIN_NS = 10_000_000_000  # a process is found in the next sweep, or never

Placing = Callable[[ParsedRecord], ParsedRecord | None]


class Intake:
    """Tail the record files of one run into its recorder."""

    def __init__(
        self,
        recorder: Recorder,
        work_dir: Path,
        sources: Sequence[RecordSource],
        place: Placing | None = None,
        name: str = "",
        since_ns: int | None = None,
    ) -> None:
        """``place``: whose a record is, where its process id is not one of ours; None: not known (yet). ``since_ns``: when the
        run began, None: just now."""
        self._recorder = recorder
        self._name = f"{name}:" if name else ""  # tells its files from those of another one of the same run
        self._work_dir = work_dir
        self._sources = sources
        self._followed = {s.follow: Followed(s.follow) for s in sources if s.follow is not None}
        self._readable: set[Path] = set()
        self._offsets = recorder.tails()
        self._place = place
        self.place_logged: Placing | None = None  # the same, of what stands in logs of the target's own
        self._unplaced: deque[tuple[int, ParsedRecord, Placing]] = deque()
        self._latest = ""  # file that was read last
        self.never_placed = 0
        self._since_ns = time.monotonic_ns() if since_ns is None else since_ns
        self.requests = 0
        self.boots = 0
        self.unparsed = 0
        self.agent_requests = 0  # of `requests` those that an agent wrote
        self.agent_costs = Timings()
        self._announced: dict[int, int] = {}  # pid -> when, the latest last
        self._number: int | None = None
        self.answers: dict[int, FloorRecord] = {}  # by pid, to the question last announced by `expect`
        self._spans: dict[str, None] = {}  # of the latest requests

    def saw(self, span_id: str) -> bool:
        """Whether one of the latest records is of this request; other threads may ask."""
        return span_id in self._spans

    def announced_ns(self, pid: int) -> int | None:
        """When an agent last said that it is in a process of this pid (CLOCK_MONOTONIC by its own word), None: never."""
        return self._announced.get(pid)

    def expect(self, number: int) -> None:
        """Keep the answers to this question from now on, and none to others."""
        self._number = number
        self.answers = {}

    def poll(self) -> list[ParsedRecord]:
        """Read what was appended since the last call; returns it after storing it."""
        fresh = self._place_later()
        for source in self._sources:
            if source.follow is not None:
                fresh += self._follow(source, self._followed[source.follow])
                continue
            for path in sorted(self._work_dir.glob(source.pattern)):
                fresh += self._read(path, source)
        return fresh

    def drain(self) -> None:
        """Read all that is there; for the end, when nobody writes any more."""
        before: dict[str, int] | None = None
        while before != self._offsets:
            before = dict(self._offsets)
            self.poll()

    @property
    def follows_logs(self) -> bool:
        """Whether there are logs of the target's own among its sources."""
        return bool(self._followed)

    @property
    def unreadable_logs(self) -> list[Path]:
        """Logs of the target's that got lines of which not one is a record."""
        return [path for path, followed in self._followed.items() if followed.consumed and path not in self._readable]

    def close(self) -> None:
        """Let go of the logs that were followed, and of records that nobody is known to have written."""
        for followed in self._followed.values():
            followed.close()
        self.never_placed += sum(isinstance(record, RequestRecord) for _, record, _ in self._unplaced)
        self._unplaced.clear()

    def _follow(self, source: RecordSource, followed: Followed) -> list[ParsedRecord]:
        """Lines that are no records are expected there: the log is not only ours."""
        assert source.follow is not None
        if followed.consumed >= FILE_CAP:
            return []
        found = [parsed for line in followed.lines() if (parsed := source.parse(line)) is not None]
        if found:
            self._readable.add(source.follow)
        found = self._placed(found, self.place_logged)
        for parsed in found:
            self._note(parsed)
        if self._offsets.get(str(source.follow)) != followed.consumed:
            self._latest = str(source.follow)
            self._offsets[self._latest] = followed.consumed
            self._recorder.records(str(source.follow), followed.consumed, found)
        return found

    def _read(self, path: Path, source: RecordSource) -> list[ParsedRecord]:
        name = f"{self._name}{path.relative_to(self._work_dir)}"
        offset = self._offsets.get(name, 0)
        if offset >= FILE_CAP:
            return []
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size <= offset:
                return []
            data = os.pread(file, min(_CHUNK, FILE_CAP - offset), offset)
        finally:
            os.close(file)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) <= LINE_CAP:
                return []  # a line still being written
            end = len(data)  # not a line of ours: skip it
        found: list[ParsedRecord] = []
        for line in data[:end].split(b"\n"):
            parsed = source.parse(line) if line else None
            if parsed is not None:
                found.append(parsed)
            elif line:
                self.unparsed += 1
        found = self._placed(found, self._place)
        for parsed in found:
            self._note(parsed)
        self._offsets[name] = offset + end
        self._latest = name
        self._recorder.records(name, offset + end, found)
        return found

    def _placed(self, found: list[ParsedRecord], place: Placing | None) -> list[ParsedRecord]:
        """Those that it is known of whose they are; the others wait. Of what was written before this run only the word counts
        that an agent is in a process."""
        if place is None:
            return found
        placed = []
        now_ns = time.monotonic_ns()
        for record in found:
            moment_ns = moment_of(record)
            if moment_ns is not None and moment_ns < self._since_ns and not isinstance(record, BootRecord):
                continue
            known = place(record)
            if known is not None:
                placed.append(known)
            elif len(self._unplaced) < _MOST_UNPLACED:
                self._unplaced.append((now_ns, record, place))
            else:  # a flood with process ids that nobody has
                self.never_placed += isinstance(record, RequestRecord)
        return placed

    def _place_later(self) -> list[ParsedRecord]:
        """Those of the waiting whose processes have become known."""
        if not self._unplaced:
            return []
        placed: list[ParsedRecord] = []
        now_ns = time.monotonic_ns()
        for _ in range(len(self._unplaced)):
            since_ns, record, place = self._unplaced.popleft()
            known = place(record)
            if known is not None:
                self._note(known)
                placed.append(known)
            elif now_ns - since_ns < _PLACE_WITHIN_NS:
                self._unplaced.append((since_ns, record, place))
            else:
                self.never_placed += isinstance(record, RequestRecord)
        if placed:
            self._recorder.records(self._latest, self._offsets[self._latest], placed)
        return placed

    def _note(self, parsed: ParsedRecord) -> None:
        span_id = None if isinstance(parsed, BootRecord | FloorRecord | CostRecord) else parsed.span_id
        if span_id is not None:
            self._spans[span_id] = None
            if len(self._spans) > _MOST_SPANS:
                del self._spans[next(iter(self._spans))]
        if isinstance(parsed, RequestRecord):
            self.requests += 1
            self.agent_requests += parsed.source.endswith(_BY_AGENT)
        elif isinstance(parsed, CostRecord):
            self.agent_costs.add(parsed.cost_ns)
        elif isinstance(parsed, BootRecord):
            self.boots += 1
            self._announced.pop(parsed.pid, None)
            self._announced[parsed.pid] = parsed.t_ns
            if len(self._announced) > _MOST_ANNOUNCED:
                del self._announced[next(iter(self._announced))]
        elif isinstance(parsed, FloorRecord) and parsed.number == self._number:
            self.answers.setdefault(parsed.pid, parsed)
