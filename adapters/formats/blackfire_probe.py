"""The text of a profile as Blackfire's probes send it (``file-format: BlackfireProbe``): reading and writing. Pure.

Published in blog.blackfire.io/blackfire-file-format.html; what probes add to that was seen in the genuine Python probe, in the
sources of the PHP and Go ones (php-sdk ``BlackfireProbe.php``, go-blackfire ``bf_format/bf_writer.go``).

::

    profile  = "file-format: BlackfireProbe" *header "" *( block "" )     blocks of headers and of data may alternate
    header   = name ": " value                                            names in any case
    cost     = [ caller "==>" ] callee "//" calls *( " " number )         one number for each name in cost-dimensions
    moment   = ( "Threshold" / "Timespan" ) "-" index ( "-start: " / "-end: " ) [ cost key ] "//" number *( " " number )
    span     = "span-" id ": " value

Costs are inclusive: wt and cpu in microseconds, mu, pmu, nw_in and nw_out in bytes. A function that calls itself appears as
``f@1``, ``f@2``; one with recorded arguments as ``f?1=value``. PHP writes a profile in several parts that are to be added up, and
takes a part of it back with negative counts. A moment's numbers are those of the whole session up to then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BODY_CAP_BYTES = 64 << 20
DEFAULT_DIMENSIONS = ("wt", "cpu", "mu", "pmu")  # what the PHP probe means when it names none
_LINES_CAP = 2_000_000
_COSTS_CAP = 200_000  # a large page makes 12 000
_MOMENTS_CAP = 200_000
_HEADERS_CAP = 10_000
_DIMENSIONS_CAP = 32
_KEY_CAP = 8192
_INT64 = 2**63
_FIRST_LINE = re.compile(r"file-format:\s*BlackfireProbe\s*\Z", re.IGNORECASE)
_HEADER = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*):(?: (.*))?\Z", re.DOTALL)
_SPAN = re.compile(r"span-([^:\s]{1,64}): (.*)\Z", re.DOTALL)
_MOMENT = re.compile(r"(Threshold|Timespan)-(\d{1,9})-(start|end): (.*)\Z", re.DOTALL)
_NUMBERS = re.compile(r"-?\d{1,20}(?: -?\d{1,20})*\Z", re.ASCII)
_DIMENSION = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_DIMENSIONS_HEADER = "cost-dimensions"


@dataclass(frozen=True, slots=True)
class Moment:
    """The session's numbers when a call began or ended. ``kind``: Threshold, or Timespan in extended monitoring; two moments of
    one ``index`` belong to one call. ``key`` may be empty at the beginning; ``values`` run parallel to the dimensions."""

    kind: str
    index: int
    at_end: bool
    key: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProbeFile:
    """What the file says. ``headers``: names in lower case, in order, repeated ones too; without the first line and the
    dimensions. ``costs``: ``caller==>callee`` (``main()`` for the root) -> (calls, one number for each dimension)."""

    dimensions: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    costs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    timeline: tuple[Moment, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()
    complete: bool = True  # the file does not end in the middle of a line

    def header(self, name: str) -> str:
        """The last value of a header, empty when there is none."""
        return next((value for key, value in reversed(self.headers) if key == name), "")


def parse(data: bytes) -> ProbeFile:
    """Read a profile; ValueError with the reason when it is none, or beyond a limit. A file that was cut gives what is there."""
    if len(data) > BODY_CAP_BYTES:
        raise ValueError(f"the profile is larger than {BODY_CAP_BYTES >> 20} MiB")
    first, _, rest = data.partition(b"\n")
    if len(first) > 100 or not _FIRST_LINE.match(first.decode("ascii", "replace")):
        raise ValueError("this is no Blackfire profile: it does not begin with file-format: BlackfireProbe")
    if rest.count(b"\n") > _LINES_CAP:
        raise ValueError(f"the profile has more than {_LINES_CAP} lines")
    lines = rest.decode("utf-8", "backslashreplace").split("\n")
    cut = lines.pop()  # empty, unless the last line is not whole
    reader = _Reader(_dimensions(lines))
    heading = True
    for number, line in enumerate(lines, 2):
        if not line:
            heading = False
            continue
        try:
            reader.add(line, heading)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    if not reader.costs:
        raise ValueError("the profile has no costs")
    return ProbeFile(
        reader.dimensions, tuple(reader.headers), reader.costs, tuple(reader.timeline), tuple(reader.spans), not cut
    )


def write(profile: ProbeFile) -> bytes:
    """The file; `parse` reads back what went in. ValueError when something of it would read differently."""
    blocks = [
        [f"{_DIMENSIONS_HEADER}: {' '.join(profile.dimensions)}", *(f"{k}: {v}" for k, v in profile.headers)],
        [f"{key}//{' '.join(map(str, numbers))}" for key, numbers in profile.costs.items()],
        [_moment_line(moment) for moment in profile.timeline],
        [f"span-{key}: {value}" for key, value in profile.spans],
    ]
    text = "file-format: BlackfireProbe\n" + "\n".join(
        "".join(f"{line}\n" for line in block) for block in blocks if block
    )
    data = text.encode("utf-8", "backslashreplace")
    if parse(data) != ProbeFile(profile.dimensions, profile.headers, profile.costs, profile.timeline, profile.spans):
        raise ValueError("the profile holds names or values that the format cannot express")
    return data


def redacted(data: bytes, names: frozenset[bytes]) -> bytes:
    """The same file with the values of these headers (lower case) taken out. Whatever is no header stays as it is."""
    kept = []
    for line in data.split(b"\n"):
        name, colon, _ = line[:100].partition(b":")
        kept.append(name + b": redacted" if colon and name.strip().lower() in names else line)
    return b"\n".join(kept)


class _Reader:
    """Adds up what lines say."""

    def __init__(self, dimensions: tuple[str, ...]) -> None:
        self.dimensions = dimensions
        self.headers: list[tuple[str, str]] = []
        self.costs: dict[str, tuple[int, ...]] = {}
        self.timeline: list[Moment] = []
        self.spans: list[tuple[str, str]] = []

    def add(self, line: str, heading: bool) -> None:
        """One line that is not empty. ``heading``: before the first empty one, where only headers and moments can be."""
        if line.startswith("T") and (moment := _MOMENT.match(line)):
            self._add_moment(*moment.groups())
        elif line.startswith("span-") and not heading and (span := _SPAN.match(line)):
            self.spans.append((span[1], span[2]))
        elif not heading and (cost := _cost(line)):
            self._add_cost(*cost)
        elif header := _HEADER.match(line):
            self._add_header(header[1].lower(), header[2] or "")
        else:
            raise ValueError(f"neither a header nor a cost: {line[:80]!r}")

    def _add_header(self, name: str, value: str) -> None:
        if name == _DIMENSIONS_HEADER:
            return
        self.headers.append((name, value))
        if len(self.headers) > _HEADERS_CAP:
            raise ValueError(f"more than {_HEADERS_CAP} headers")

    def _add_cost(self, key: str, numbers: str) -> None:
        values = self._numbers(numbers, 1 + len(self.dimensions))
        there = self.costs.get(key)
        if there is None:
            if len(self.costs) >= _COSTS_CAP:
                raise ValueError(f"more than {_COSTS_CAP} different calls")
            self.costs[_checked(key)] = values
        else:
            self.costs[key] = tuple(a + b for a, b in zip(there, values, strict=True))

    def _add_moment(self, kind: str, index: str, edge: str, rest: str) -> None:
        key, slashes, numbers = rest.rpartition("//")
        if not slashes:
            raise ValueError("a moment without numbers")
        values = self._numbers(numbers, len(self.dimensions))
        if len(self.timeline) >= _MOMENTS_CAP:
            raise ValueError(f"more than {_MOMENTS_CAP} moments")
        self.timeline.append(Moment(kind, int(index), edge == "end", _checked(key), values))

    def _numbers(self, text: str, count: int) -> tuple[int, ...]:
        if not _NUMBERS.match(text):
            raise ValueError(f"not numbers: {text[:80]!r}")
        values = tuple(map(int, text.split(" ")))
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers where {' '.join(self.dimensions)} needs {count}")
        if any(abs(value) >= _INT64 for value in values):
            raise ValueError("an impossible number")
        return values


def _dimensions(lines: list[str]) -> tuple[str, ...]:
    """Found first of all: what a cost line must look like depends on it."""
    for line in lines:
        name, colon, value = line[: _DIMENSIONS_CAP * 66].partition(":")
        if not line:
            break
        if colon and name.lower() == _DIMENSIONS_HEADER:
            names = tuple(value.split())
            if not 0 < len(names) <= _DIMENSIONS_CAP or len(set(names)) < len(names):
                raise ValueError("the cost dimensions are none, too many, or named twice")
            if not all(map(_DIMENSION.match, names)):
                raise ValueError("a cost dimension has an impossible name")
            return names
    return DEFAULT_DIMENSIONS


def _cost(line: str) -> tuple[str, str] | None:
    """Key and numbers of a cost line. Names may hold anything, so it is the last ``//`` that counts."""
    key, slashes, numbers = line.rpartition("//")
    if not slashes or not key or not _NUMBERS.match(numbers):
        return None
    if "==>" not in key and _HEADER.match(key):  # a header whose value is an address
        return None
    return key, numbers


def _checked(key: str) -> str:
    if len(key) > _KEY_CAP:
        raise ValueError(f"a name longer than {_KEY_CAP} characters")
    return key


def _moment_line(moment: Moment) -> str:
    edge = "end" if moment.at_end else "start"
    return f"{moment.kind}-{moment.index}-{edge}: {moment.key}//{' '.join(map(str, moment.values))}"


def split_key(key: str) -> tuple[str, str]:
    """(caller, callee) of a cost; the caller of a root is empty."""
    caller, arrow, callee = key.partition("==>")
    return (caller, callee) if arrow else ("", caller)


def features(profile: ProbeFile) -> Mapping[str, str]:
    """What the probe was asked to measure: ``flag_memory`` -> ``1`` and so on."""
    return dict(_pairs(profile.header("probed-features")))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("&")[:200]:
        name, equals, value = part.partition("=")
        if equals:
            yield name, value
