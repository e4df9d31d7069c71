"""Records of agents on other hosts, as they are kept here: by which clock, and up to when they have arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from harness.model.span import FloorRecord, RequestRecord
from harness.plugins.spec import Away, ParsedRecord, RecordSource
from harness.store.layout import HOSTS, WORK, write_atomically

ARRIVED, RECORDS = "arrived", "records"
_CAP = 1 << 14
_MOST_PLACES = 4096
_MOST_NS = 1 << 62


def by_our_clock(source: RecordSource, away: Away | None) -> RecordSource:
    """The same source, with records of another host as `ProcessInfo` has its times: less the offset of its clock."""
    return source if away is None else replace(source, parse=partial(_shifted, source.parse, away.host, away.ahead_ns))


def _shifted(
    parse: Callable[[bytes], ParsedRecord | None], host: str, ahead_ns: int, line: bytes
) -> ParsedRecord | None:
    record = parse(line)
    if record is None:
        return None
    if isinstance(record, RequestRecord):
        start, end = (None if t is None else t - ahead_ns for t in (record.start_ns, record.end_ns))
        return replace(record, host=host, start_ns=start, end_ns=end)
    if isinstance(record, FloorRecord):  # orders there are numbered by its clock
        return replace(record, t_ns=record.t_ns - ahead_ns, number=record.number - ahead_ns)
    return replace(record, host=host, t_ns=record.t_ns - ahead_ns)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What has come of the records in one directory of agents on another host.

    ``place``: its name in the run, ``where``: its path there; ``stays``: it is there after the run; ``contained``: process ids in
    the records are those of a container. ``until_ns``: all that was recorded there until then is here, as times of that host are
    recorded; None: not known of any time. ``size_bytes``: of the records here at that time.
    """

    place: str
    host: str
    where: str
    stays: bool
    contained: bool
    until_ns: int | None = None
    size_bytes: int = 0

    def write(self, directory: Path) -> None:
        """Keep it beside the records, whole. Raises OSError."""
        write_atomically(directory / ARRIVED, json.dumps(asdict(self)).encode())


def arrived_in(run_directory: Path) -> Iterator[tuple[Path, Arrived | None]]:
    """Of each place of a run, with the directory of what has come from there, which has its name; None: the word is damaged."""
    for path in sorted((run_directory / WORK / HOSTS).glob(f"*/{ARRIVED}"))[:_MOST_PLACES]:
        try:
            with path.open("rb") as file:
                found = _arrived(json.loads(file.read(_CAP)))
            size_bytes = sum(each.stat().st_size for each in (path.parent / RECORDS).iterdir())
        except (OSError, ValueError, TypeError, RecursionError):
            yield path.parent, None
            continue
        # after this machine itself went down, the word may have been written, and not what it speaks of
        yield path.parent, found if size_bytes >= found.size_bytes else replace(found, until_ns=None)


def _arrived(said: object) -> Arrived:
    """Raises ValueError, TypeError."""
    if not isinstance(said, dict):
        raise TypeError("it is no object of names and values")
    found = Arrived(**said)
    texts, flags = (found.place, found.host, found.where), (found.stays, found.contained)
    if not all(type(text) is str for text in texts) or not all(type(flag) is bool for flag in flags):
        raise ValueError("not its kinds of values")
    numbers = (found.size_bytes, *(() if found.until_ns is None else (found.until_ns,)))
    if not all(type(number) is int and abs(number) < _MOST_NS for number in numbers):
        raise ValueError("not a time, or not a size")
    return found
