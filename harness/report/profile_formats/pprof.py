"""pprof's profile.proto, packed with gzip: https://github.com/google/pprof/blob/main/proto/profile.proto.

Written by hand: ten fields of one message, for which the protobuf package (and code generated for it) is not needed. Values may
be negative, as pprof's own differences are.
"""

from __future__ import annotations

import gzip

from harness.model.profile import Frame, Profile
from harness.plugins.exports import ProfileExport
from harness.report.profile_formats.stacks import stacks_of

_UNITS = {"ns": "nanoseconds"}
_VARINT, _BYTES = 0, 2
_UINT64 = 2**64
_LEVEL = 6  # of gzip: 9 takes three times as long for 2 % less


def write(profile: Profile, value: str | None = None) -> bytes:
    """The file: gzip without a time or name, so that equal profiles are equal bytes. ValueError without stacks."""
    stacks = stacks_of(profile, value, signed=True, expanded=True)
    texts = _Texts()
    out: list[bytes] = []
    for column in stacks.columns:
        kind = _int(1, texts.number(column.name)) + _int(2, texts.number(_UNITS.get(column.unit, column.unit)))
        out.append(_message(1, kind))
    for node in range(len(stacks.frame)):
        values = [column[node] for column in stacks.values]
        if any(values):
            places = b"".join(_varint(frame + 1) for frame in stacks.stack(node))
            out.append(_message(2, _message(1, places) + _message(2, b"".join(map(_varint, values)))))
    # One mapping that says that names, files and lines are known: viewers then look for no program and no symbols.
    out.append(_message(3, _int(1, 1) + b"".join(_int(field, 1) for field in (7, 8, 9))))
    for number, frame in enumerate(stacks.frames, 1):
        line = _int(1, number) + _int(2, frame.line or 0)
        out.append(_message(4, _int(1, number) + _int(2, 1) + _message(4, line)))
        out.append(_message(5, _function(number, frame, texts)))
    comments = [*stacks.notes, *(f"{column.name}: {column.title}" for column in stacks.columns)]
    numbers = [texts.number(comment) for comment in comments]
    duration = profile.totals.get("time_ns")
    if duration is not None and 0 < duration < 2**63:
        out.append(_int(10, duration))
    out.extend(_int(13, number) for number in numbers)
    out.append(_int(14, texts.number(stacks.columns[0].name)))
    out.extend(_message(6, text.encode("utf-8")) for text in texts.all)
    return gzip.compress(b"".join(out), _LEVEL, mtime=0)


def _function(number: int, frame: Frame, texts: _Texts) -> bytes:
    name = texts.number(frame.function)
    return (
        _int(1, number) + _int(2, name) + _int(3, name) + _int(4, texts.number(frame.file)) + _int(5, frame.line or 0)
    )


class _Texts:
    """The table of strings; number 0 must be the empty one."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[str]:
        return list(self._numbers)


def _varint(value: int) -> bytes:
    """Base 128, the low end first; negative numbers are their two's complement in 64 bits."""
    value %= _UINT64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _message(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


EXPORT = ProfileExport("pprof", "pb.gz", "pprof's protobuf, packed with gzip", "go tool pprof, Pyroscope", write)
