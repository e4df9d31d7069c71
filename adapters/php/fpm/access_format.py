"""Lines of a php-fpm access log, read by the pool's own ``access.format``. Pure.

php-fpm escapes nothing, so whatever a client sends (address, headers, user) can look like the fields beside it. A format is
therefore cut into solid pieces (literals and fields of a narrow shape) with free text between them, and a number counts only
where every way to read the line puts it at the same place. Reading takes time linear in the line, which is at most 1024 bytes.

Source: sapi/fpm/fpm/fpm_log.c and https://www.php.net/manual/en/install.fpm.configuration.php (access.format).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from harness.errors import UsageError
from harness.model.span import RequestRecord

DEFAULT_FORMAT = '%R - %u %t "%m %r%Q%q" %s'
SOURCE = "fpm-access-log"
LINE_CAP = 4096
_FORMAT_CAP, _MOST_FIELDS, _NAME_CAP = 1024, 64, 400
_CODE = re.compile(r"%(?:\{(?P<argument>[^}]*)\})?(?P<code>.)", re.DOTALL)
_INT_LIMIT = 2**63
_LATEST_NS = 2**62  # in the year 2116
_DIGITS = "[0-9]{1,19}"
_SPAN_ID = re.compile(rb"[0-9a-f]{16}\Z")
_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}\Z")
_DATE_OF_LOG = "%d/%b/%Y:%H:%M:%S %z"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# code -> shape of what php-fpm writes for it; those that are not here are free text
_SHAPES: Mapping[str, str] = {
    "p": "[0-9]{1,10}",
    "P": "[0-9]{1,10}",
    "s": "[0-9]{1,3}",
    "l": _DIGITS,
    "M": _DIGITS,
    "C": r"-?(?:[0-9]{1,12}\.[0-9]{2}|nan|inf)",
    "m": "[A-Za-z_-]{1,32}",
    "n": "[A-Za-z0-9._-]{1,64}",
    "R": "(?:[0-9A-Fa-f.:]{1,45}|-)",
}
_FREE = frozenset("eforqQu")
_ARGUMENTS: Mapping[str, Mapping[str, int]] = {
    # unit -> how many of ours one is: ns, bytes
    "d": {
        "": 10**9,
        "seconds": 10**9,
        **dict.fromkeys(("mili", "miliseconds", "milli", "milliseconds"), 10**6),
        **dict.fromkeys(("micro", "microseconds"), 1000),
    },
    "M": {
        **dict.fromkeys(("", "bytes"), 1),
        **dict.fromkeys(("kilo", "kilobytes"), 1 << 10),
        **dict.fromkeys(("mega", "megabytes"), 1 << 20),
    },
    "C": dict.fromkeys(("", "total", "user", "system"), 1),
}
_TIME: Mapping[str, str] = {
    "d": "[0-9]{2}", "e": "[ 0-9][0-9]", "m": "[0-9]{2}", "b": "[A-Z][a-z]{2}", "Y": "[0-9]{4}", "H": "[0-9]{2}", "M": "[0-9]{2}",
    "S": "[0-9]{2}", "z": "[+-][0-9]{4}", "s": "[0-9]{9,12}",
}  # fmt: skip
_WHOLE = (("F", "%Y-%m-%d"), ("T", "%H:%M:%S"))


@dataclass(frozen=True, slots=True)
class _Field:
    """One code: ``key`` is the code, and its argument behind a colon."""

    key: str
    shape: str | None  # None: free text
    unit: int = 1


@dataclass(frozen=True, slots=True)
class AccessFormat:
    """A compiled format. ``solid`` pieces and ``free`` text take turns, the former come first and last (they may be empty)."""

    text: str
    solid: tuple[re.Pattern[bytes], ...]
    keys: tuple[tuple[str, ...], ...]  # of the groups of each solid piece
    free: tuple[tuple[str, ...], ...]  # fields that share each stretch of free text
    units: Mapping[str, int]
    times: Mapping[str, str]  # key -> its strftime format

    @property
    def names(self) -> frozenset[str]:
        """All fields of the format."""
        return frozenset(key for keys in (*self.keys, *self.free) for key in keys)

    def fields(self, line: bytes) -> Mapping[str, bytes] | None:
        """What the line says for certain, by field; None where it is no line of this format. A field that can be read in
        several ways is left out, as is text that several fields share."""
        if len(line) > LINE_CAP:
            return None
        places = self._places(line)
        if places is None:
            return None
        found: dict[str, bytes] = {}
        for keys, place in zip(self.keys, places, strict=True):
            if place is not None:
                found.update(zip(keys, place.groups()[1:], strict=True))
        for keys, before, behind in zip(self.free, places, places[1:], strict=False):
            if before is not None and behind is not None:
                text = line[before.end(1) : behind.start()]
                found.update(_shared(keys, text))
        return found

    def _places(self, line: bytes) -> Sequence[re.Match[bytes] | None] | None:
        """Where each solid piece is, None for one that can be in several places; None when the line does not fit."""
        reached: list[list[re.Match[bytes]]] = []
        earliest = 0
        for index, piece in enumerate(self.solid):
            if index == 0:
                match = piece.match(line)
                here = [] if match is None else [match]
            else:
                here = list(piece.finditer(line, earliest))
            if not here:
                return None
            earliest = min(match.end(1) for match in here)
            reached.append(here)
        latest = len(line)
        places: list[re.Match[bytes] | None] = []
        for here in reversed(reached):
            fitting = [match for match in here if match.end(1) <= latest]
            if not fitting:
                return None
            latest = max(match.start() for match in fitting)
            places.append(fitting[0] if len(fitting) == 1 else None)
        return places[::-1]

    def record(self, line: bytes, ignored: Collection[str] = ()) -> RequestRecord | None:
        """One line without its newline; None for anything that is not certainly a request's, and for the paths ``ignored``
        (php-fpm's own ping and status, and ours).

        Times are wall time of the end, to the second, where the format has a ``%T`` that says all of it; ``fpm_memory_bytes`` is
        the allocator's real peak with what earlier requests of the worker left behind.
        """
        found = self.fields(line)
        pid = None if found is None else _number(found.get("p"))
        if found is None or not pid:
            return None
        path = found.get("r", b"").partition(b"?")[0]
        if path.startswith(b"/.harness/") or path.decode("utf-8", "replace") in ignored:
            return None
        ended = next((_wall_ns(found[key], form) for key, form in self.times.items() if key in found), None)
        if ended is not None and not 0 <= ended < _LATEST_NS:
            ended = None  # anybody may have written the line
        return RequestRecord(
            source=SOURCE,
            pid=pid,
            span_id=_span(found),
            sequence=None,
            start_ns=None,
            end_ns=None,
            wall_end_ns=ended,
            name=_name(found.get("m"), path or found.get("f", b"")),
            status=_number(found.get("s")) or None,
            first_in_process=None,
            values=self._values(found),
        )

    def _values(self, found: Mapping[str, bytes]) -> dict[str, int | None]:
        values: dict[str, int | None] = {}
        for key, unit in self.units.items():
            if key in found:
                whole, _, part = found[key].partition(b".")
                number = int(whole) * unit + int(part.ljust(3, b"0") or b"0") * unit // 1000
                values["duration_ns" if key[0] == "d" else "fpm_memory_bytes"] = number
        if "l" in found:
            values["content_bytes"] = int(found["l"])
        return {name: number if number is not None and number < _INT_LIMIT else None for name, number in values.items()}


def compile_format(text: str = DEFAULT_FORMAT) -> AccessFormat:
    """Understand an ``access.format``. Raises UsageError for one that php-fpm would refuse, and for one without clear borders
    between its numbers."""
    if len(text) > _FORMAT_CAP or text.count("%") > _MOST_FIELDS or not text.isprintable():
        raise UsageError("access.format is too long, or has control characters")
    pieces = _pieces(text)
    solid: list[list[str | _Field]] = [[]]
    free: list[list[str]] = []
    previous: str | _Field = ""
    for piece in pieces:
        if isinstance(piece, _Field) and piece.shape is None:
            if isinstance(previous, _Field) and previous.shape is None:
                free[-1].append(piece.key)
            else:
                free.append([piece.key])
                solid.append([])
        else:
            solid[-1].append(piece)
        _refuse_touching(previous, piece)
        previous = piece
    fields = [piece for piece in pieces if isinstance(piece, _Field)]
    return AccessFormat(
        text=text,
        solid=tuple(_pattern(part, last=n == len(solid) - 1, first=n == 0) for n, part in enumerate(solid)),
        keys=tuple(tuple(p.key for p in part if isinstance(p, _Field)) for part in solid),
        free=tuple(map(tuple, free)),
        units={f.key: f.unit for f in fields if f.key[0] in "dM"},
        times={f.key: f.key[2:] or _DATE_OF_LOG for f in fields if f.key[0] == "T" and f.shape is not None},
    )


def _pieces(text: str) -> list[str | _Field]:
    pieces: list[str | _Field] = []
    at = 0
    for match in _CODE.finditer(text):
        literal = text[at : match.start()]
        if literal:
            pieces.append(literal)
        at = match.end()
        if match["code"] == "%" and match["argument"] is None:
            pieces.append("%")
        else:
            pieces.append(_field(match["code"], match["argument"]))
    if "%" in text[at:]:
        raise UsageError("access.format ends within a code")
    if text[at:]:
        pieces.append(text[at:])
    merged: list[str | _Field] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _field(code: str, argument: str | None) -> _Field:
    key = code if argument is None else f"{code}:{argument}"
    if code in "eo":
        if not argument:
            raise UsageError(f"access.format: %{code} needs a name, as %{{NAME}}{code}")
        return _Field(key, None)
    if code in "tT":
        return _Field(key, _time_shape(argument or _DATE_OF_LOG))
    if code in _ARGUMENTS:
        unit = _ARGUMENTS[code].get((argument or "").lower())
        if unit is None:
            raise UsageError(f"access.format: {argument!r} is nothing that %{code} can be given")
        shape = _SHAPES.get(code, _DIGITS if unit == 1000 else r"[0-9]{1,15}\.[0-9]{3}")
        return _Field(key, shape, unit)
    if argument is not None or (code not in _SHAPES and code not in _FREE):
        raise UsageError(f"access.format has %{code}, which is none of its codes" if argument is None else
                         f"access.format: %{code} takes nothing in braces")  # fmt: skip
    return _Field(key, _SHAPES.get(code))


def _time_shape(form: str) -> str | None:
    """The shape of what strftime makes of it; None (free text) where it has other codes than numbers and %b."""
    for code, whole in _WHOLE:
        form = form.replace(f"%{code}", whole)
    shape, at = "", 0
    for match in re.finditer("%(.?)", form):
        if match[1] not in _TIME:
            return None
        shape += re.escape(form[at : match.start()]) + _TIME[match[1]]
        at = match.end()
    return shape + re.escape(form[at:])


def _refuse_touching(left: str | _Field, right: str | _Field) -> None:
    """Numbers need a border that no number has in it."""
    fields = [side for side in (left, right) if isinstance(side, _Field)]
    if not any(field.shape is not None for field in fields):
        return
    if len(fields) == 2:
        raise UsageError(f"access.format: put a space between %{fields[0].key[0]} and %{fields[1].key[0]}")
    [literal] = [side for side in (left, right) if isinstance(side, str)]
    border = literal[-1:] if literal is left else literal[:1]
    if border and re.match(r"[0-9A-Za-z.:_+-]", border):
        raise UsageError(f"access.format: put a space between {border!r} and %{fields[0].key[0]}")


def _pattern(part: Sequence[str | _Field], *, first: bool, last: bool) -> re.Pattern[bytes]:
    """Group 1 is the whole piece, the others are its fields. All but the first piece are looked for at every place."""
    inner = "".join(re.escape(p) if isinstance(p, str) else f"({p.shape})" for p in part)
    end = r"\Z" if last else ""
    whole = f"({inner}){end}" if first else f"(?=({inner}){end})"
    return re.compile(whole.encode(), re.DOTALL)


def _shared(keys: Sequence[str], text: bytes) -> Mapping[str, bytes]:
    """Free text by field; address and query string have their own border between them."""
    if len(keys) == 1:
        return {keys[0]: text}
    if tuple(keys) == ("r", "Q", "q"):
        path, _, query = text.partition(b"?")
        return {"r": path, "q": query}
    return {}


def _number(text: bytes | None) -> int | None:
    return None if text is None else int(text)


def _span(found: Mapping[str, bytes]) -> str | None:
    """From the traceparent header, or from a UNIQUE_ID that the web server took from it."""
    match = _TRACEPARENT.match(found.get("e:HTTP_TRACEPARENT", b""))
    if match is not None:
        return match["span"].decode()
    unique = found.get("e:UNIQUE_ID", b"")
    return unique.decode() if _SPAN_ID.match(unique) else None


def _name(method: bytes | None, path: bytes) -> str:
    words = [part.decode("utf-8", "replace") for part in (method, path) if part]
    return " ".join(words)[:_NAME_CAP]


def _wall_ns(text: bytes, form: str) -> int | None:
    """ns since 1970; None where the format leaves out part of it, the zone above all, or it is no time."""
    for code, whole in _WHOLE:
        form = form.replace(f"%{code}", whole)
    names = re.findall("%(.)", form)
    shape = re.sub("%(.)|([^%]+)", lambda m: f"({_TIME[m[1]]})" if m[1] else re.escape(m[2]), form)
    match = re.fullmatch(shape.encode(), text)
    if match is None:
        return None
    parts = dict(zip(names, (group.decode() for group in match.groups()), strict=True))
    if "s" in parts:
        return int(parts["s"]) * 10**9
    day, month = parts.get("d") or parts.get("e"), parts.get("m") or _month(parts.get("b"))
    rest = [parts.get(name) for name in ("Y", "H", "M", "S")]
    zone = parts.get("z")
    if day is None or month is None or zone is None or None in rest:
        return None
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * (-1 if zone[0] == "-" else 1)
    year, hour, minute, second = (int(value or 0) for value in rest)
    try:
        moment = datetime(year, int(month), int(day), hour, minute, second, tzinfo=timezone(offset))
    except ValueError:
        return None
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9


def _month(name: str | None) -> str | None:
    return str(_MONTHS.index(name) + 1) if name in _MONTHS else None
