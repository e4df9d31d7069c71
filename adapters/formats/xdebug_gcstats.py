"""Xdebug's reports of the cycle collector (mode gcstats): what each run freed and how long it took.

::

    "Garbage Collection Report" / "version: 1" / "creator: xdebug V (PHP V)" / ""
    "Collected | Efficiency% | Duration | Memory Before | Memory After | Reduction% | Function" / "----------+--..."
        15000 |    150.00 % |  0.25 ms |       2598120 |       518120 |    80.06 % | make

A line is written after each run and carries no time of day. Efficiency is what was collected in percent of 10 000, however many
roots there were, and so says nothing that ``collected`` does not. The file has no end mark: a request that ended early looks
like one without further runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from adapters.formats.unpacking import TooLargeError, unpacked
from harness.model.profile import CollectorRun, Profile

FILE_CAP_BYTES = 64 << 20
RUNS_CAP = 20_000
NOTE = (
    "durations are rounded to 10 us by Xdebug, a shorter run shows as 0; runs started by gc_collect_cycles() are counted too, "
    "and the function is the one that was running"
)
NEVER_RAN = (
    "no run of the collector is in the report: it starts at some 10 000 possible roots, which most requests never reach"
)

_TITLE = b"Garbage Collection Report"
_COLUMNS = b"Collected | Efficiency% | Duration | Memory Before | Memory After | Reduction% | Function"
_HEADER_LINES = 20
_HEAD = (b"version:", b"creator:", b"----------+", _TITLE, _COLUMNS)
_LINE_CAP_BYTES = 16 << 10
_NAME_CAP = 1024
_DIGITS_CAP = 18  # of 64 bits


def read_gcstats(path: Path, *, cap_bytes: int = FILE_CAP_BYTES) -> Profile:
    """Read a report, plain or gzip. Raises ValueError for anything that is none, OSError when it cannot be read.

    Of a file of more than ``cap_bytes`` the beginning is read and ``complete`` is False.
    """
    capped: list[str] = []

    def chunks() -> Iterable[bytes]:
        try:
            yield from unpacked(path, cap_bytes)
        except TooLargeError:
            capped.append(f"only the first {cap_bytes >> 20} MiB of the report were read")

    return parse_gcstats(chunks(), notes=capped)


def parse_gcstats(chunks: Iterable[bytes], *, notes: Iterable[str] = ()) -> Profile:
    """The same from bytes in chunks of any size. Pure.

    ``collections``: the first `RUNS_CAP` runs, with ``roots`` and ``offset_ns`` None. ``totals`` sum all runs up: ``runs``,
    ``collected``, ``duration_ns``, ``freed_bytes`` (before less after; negative where the heap grew meanwhile). ``notes`` are put
    in front. ``complete`` is False when lines were lost: half a line at the end, unreadable ones, or ``notes`` from a cap.
    """
    report = _Report()
    held, endless = b"", False
    for chunk in chunks:
        lines = (held + chunk).split(b"\n")
        held = lines.pop()
        if endless and lines:
            lines, endless = lines[1:], False
            report.malformed += 1
        if endless or len(held) > _LINE_CAP_BYTES:
            held, endless = b"", True
        for line in lines:
            report.add(line)
    if not report.is_one:
        raise ValueError("this is no report of Xdebug's gcstats mode: its heading is missing")
    return report.profile(list(notes), cut=bool(held) or endless)


class _Report:
    def __init__(self) -> None:
        self.malformed = 0
        self._lines = 0
        self._titled = self._columns = False
        self._runs: list[CollectorRun] = []
        self._count = self._collected = self._duration_ns = self._freed = 0

    @property
    def is_one(self) -> bool:
        return self._titled and self._columns

    def add(self, line: bytes) -> None:
        line = line.strip(b"\r")
        self._lines += 1
        if line == _TITLE and self._lines == 1:
            self._titled = True
        if self._titled and not self._columns:
            self._columns = line == _COLUMNS
            if self._lines > _HEADER_LINES:
                raise ValueError("this is no report of Xdebug's gcstats mode: its columns are missing")
        elif not self._titled:
            raise ValueError("this is no report of Xdebug's gcstats mode: its heading is missing")
        elif line and not line.startswith(_HEAD):
            run = _run(line)
            if run is None:
                self.malformed += 1
            else:
                self._count_run(run)

    def _count_run(self, run: CollectorRun) -> None:
        self._count += 1
        self._collected += run.collected
        self._duration_ns += run.duration_ns or 0
        self._freed += (run.before_bytes or 0) - (run.after_bytes or 0)
        if self._count <= RUNS_CAP:
            self._runs.append(run)

    def profile(self, notes: list[str], *, cut: bool) -> Profile:
        lost = bool(notes)
        notes = [*notes, NOTE]
        if not (self._count or lost or cut or self.malformed):
            notes.append(NEVER_RAN)
        if self._count > RUNS_CAP:
            notes.append(f"the first {RUNS_CAP} of {self._count} runs are listed; the totals are of all")
        if cut:
            notes.append("the report ends within a line; that run is missing")
        if self.malformed:
            notes.append(f"{self.malformed} lines of the report could not be read")
        totals = {
            "runs": self._count,
            "collected": self._collected,
            "duration_ns": self._duration_ns,
            "freed_bytes": self._freed,
        }
        return Profile(
            tool="xdebug_gcstats",
            value_types=(),
            collections=tuple(self._runs),
            totals=totals,
            notes=tuple(notes),
            complete=not lost and not cut and not self.malformed,
        )


def _run(line: bytes) -> CollectorRun | None:
    """One run, None when the line is none. Only the function can hold a bar of its own."""
    parts = line.split(b"|", 6)
    if (
        len(parts) < 7
        or not parts[2].endswith(b" ms ")
        or not (parts[1].endswith(b" % ") and parts[5].endswith(b" % "))
    ):
        return None
    collected, before, after = (_number(parts[at].strip()) for at in (0, 3, 4))
    duration_ns = _hundredths(parts[2][:-4].strip())
    name = parts[6].removeprefix(b" ")
    if collected is None or before is None or after is None or duration_ns is None or not name:
        return None
    function = name[:_NAME_CAP].decode(errors="backslashreplace")
    return CollectorRun(collected, None, duration_ns, before, after, "" if function == "-" else function)


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _DIGITS_CAP else None


def _hundredths(text: bytes) -> int | None:
    """Milliseconds with two digits, in ns."""
    whole, _, part = text.partition(b".")
    if len(part) != 2 or len(whole) > 12 or not (whole.isdigit() and part.isdigit()):
        return None
    return int(whole + part) * 10_000
