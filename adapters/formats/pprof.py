"""pprof profiles (``profile.proto``, packed with gzip or zstd or not at all): samples with their stacks, as a `Profile`. Pure.

Read by hand: the message is small, and the protobuf package is not, for six of its fields. Field numbers are those of
github.com/google/pprof, proto/profile.proto. Labels, mappings and addresses are passed over.
"""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.formats import stacks
from harness.model.profile import Frame, Profile, ValueType

UNPACKED_CAP_BYTES = 16 << 20
_TEXT_CAP = 1024
_DEPTH_CAP = 1024
_TYPES_CAP = 64
_COUNT_CAP = 500_000  # of samples, of locations, of functions, of texts
_FRAMES_CAP = 8_000_000  # of all stacks together: one place may stand for a thousand inlined frames
_WINDOW_LOG_MAX = 25  # what a packer may make us remember: 32 MiB
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_UNITS = {"nanoseconds": "ns", "microseconds": "us", "milliseconds": "ms"}


class NoZstdError(ValueError):
    """The profile is packed with zstd, which this Python cannot unpack without a package."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``stack``: frame numbers, the outermost first. ``values`` run parallel to the value types."""

    stack: tuple[int, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pprof:
    """What the file says. ``value_types``: names and units as written. ``time_ns``: begin, since the epoch; 0 where not said.

    ``cut``: stacks deeper than the limit lost their outermost callers.
    """

    value_types: tuple[tuple[str, str], ...]
    frames: tuple[Frame, ...]
    samples: tuple[Sample, ...]
    time_ns: int = 0
    duration_ns: int = 0
    cut: bool = False

    def column(self, name: str) -> int | None:
        """The number of a value type; None when the profile has none of this name."""
        return next((number for number, (found, _) in enumerate(self.value_types) if found == name), None)


def unpack(data: bytes, cap_bytes: int = UNPACKED_CAP_BYTES) -> bytes:
    """The message itself. ValueError with the reason when it cannot be had, or when it is larger than the cap; of those
    `NoZstdError` when only a package is missing."""
    if data.startswith(_GZIP):
        unpacker = zlib.decompressobj(31)
        try:
            message = unpacker.decompress(data, cap_bytes + 1)
        except zlib.error as error:
            raise ValueError(f"the profile's gzip stream is damaged: {error}") from error
        whole = unpacker.eof
    elif data.startswith(_ZSTD):
        message, whole = _from_zstd(data, cap_bytes)
    else:
        message, whole = data, True
    if len(message) > cap_bytes:
        raise ValueError(f"the profile is larger than {cap_bytes} bytes when unpacked")
    if not whole:
        raise ValueError("the packed profile was cut")
    return message


def _from_zstd(data: bytes, cap_bytes: int) -> tuple[bytes, bool]:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415  (an optional package before Python 3.14)
        else:
            from backports import zstd  # noqa: PLC0415
    except ImportError:
        raise NoZstdError(
            "the profile is packed with zstd, and this Python is older than 3.14 and has no backports.zstd"
            " (pip install 'profiling-harness[conprof]')"
        ) from None
    limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    unpacker = zstd.ZstdDecompressor(options=limits)
    try:
        return unpacker.decompress(data, cap_bytes + 1), unpacker.eof
    except zstd.ZstdError as error:
        raise ValueError(f"the profile's zstd stream is damaged: {error}") from error


def parse(message: bytes) -> Pprof:
    """Read an unpacked message; ValueError with the reason when it is none, or beyond a limit."""
    if len(message) > UNPACKED_CAP_BYTES:
        raise ValueError(f"the profile is larger than {UNPACKED_CAP_BYTES} bytes")
    parts: dict[int, list[bytes]] = defaultdict(list)
    numbers: dict[int, int] = {}
    for field, value in _fields(message):
        if isinstance(value, int):
            numbers[field] = value
        else:
            parts[field].append(value)
            if len(parts[field]) > _COUNT_CAP:
                raise ValueError("the profile has too many parts")
    texts = [text[:_TEXT_CAP].decode("utf-8", "backslashreplace") for text in parts[6]]
    types = tuple(_value_type(part, texts) for part in parts[1][: _TYPES_CAP + 1])
    if not 0 < len(types) <= _TYPES_CAP:
        raise ValueError("this is no pprof profile: it has no value types, or too many")
    functions = dict(_function(part, texts) for part in parts[5])
    frames: dict[Frame, int] = {}
    locations = dict(_location(part, functions, frames) for part in parts[4])
    samples, cut = _samples(parts[2], locations, len(types))
    return Pprof(types, tuple(frames), samples, numbers.get(9, 0), numbers.get(10, 0), cut)


def to_profile(profile: Pprof, tool: str, columns: Sequence[str] | None = None) -> Profile:
    """Totals by function and a call tree. ``columns``: the value types to keep, of those that the profile has."""
    kept = [n for n, (name, _) in enumerate(profile.value_types) if columns is None or name in columns]
    types = tuple(value_type(*profile.value_types[n]) for n in kept)
    rows = ((sample.stack, [sample.values[n] for n in kept]) for sample in profile.samples)
    tree = stacks.tree(rows, len(kept))
    return Profile(
        tool=tool,
        value_types=types,
        frames=profile.frames,
        functions=stacks.functions(tree, len(kept)),
        tree=tree,
        complete=not profile.cut,
        notes=(f"Stacks deeper than {_DEPTH_CAP} calls were cut.",) if profile.cut else (),
    )


def value_type(name: str, unit: str) -> ValueType:
    """A pprof value type as one of ours: ``heap-space`` -> ``heap_space``, ``nanoseconds`` -> ``ns``."""
    return ValueType(name.replace("-", "_"), _UNITS.get(unit, unit), name.replace("-", " ").replace("_", " "))


# --- protobuf ---------------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of the profile is too long")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values; a cut message is a ValueError."""
    at, end = 0, len(message)
    try:
        while at < end:
            key, at = _varint(message, at)
            kind = key & 7
            if kind == _VARINT:
                number, at = _varint(message, at)
                yield key >> 3, number
            elif kind == _BYTES:
                size, at = _varint(message, at)
                if size > end - at:
                    raise ValueError("the profile was cut")
                yield key >> 3, message[at : at + size]
                at += size
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
                if at > end:
                    raise ValueError("the profile was cut")
            else:
                raise ValueError("this is no pprof profile")
    except IndexError:
        raise ValueError("the profile was cut") from None


def _numbers(value: int | bytes) -> Iterator[int]:
    """A repeated number: packed, or one of several fields."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    try:
        while at < len(value):
            number, at = _varint(value, at)
            yield number
    except IndexError:
        raise ValueError("the profile was cut") from None


def _text(texts: Sequence[str], number: int | bytes) -> str:
    if not isinstance(number, int) or number >= len(texts):
        raise ValueError("the profile refers to a text that it does not have")
    return texts[number]


def _value_type(part: bytes, texts: Sequence[str]) -> tuple[str, str]:
    found = dict(_fields(part))
    return _text(texts, found.get(1, 0)), _text(texts, found.get(2, 0))


def _function(part: bytes, texts: Sequence[str]) -> tuple[int | bytes, Frame]:
    found = dict(_fields(part))
    line = found.get(5, 0)
    name, file = _text(texts, found.get(2, 0)), _text(texts, found.get(4, 0))
    return found.get(1, 0), Frame(name, file, line if isinstance(line, int) and 0 < line < 2**31 else None)


def _location(
    part: bytes, functions: dict[int | bytes, Frame], frames: dict[Frame, int]
) -> tuple[int | bytes, tuple[int, ...]]:
    """The frames of one place, the innermost first: inlined functions come before the one they are inlined into."""
    identity: int | bytes = 0
    found: list[int] = []
    for field, value in _fields(part):
        if field == 1:
            identity = value
        elif field == 4 and isinstance(value, bytes):
            function = functions.get(dict(_fields(value)).get(1, 0))
            if function is None:
                raise ValueError("the profile refers to a function that it does not have")
            found.append(frames.setdefault(function, len(frames)))
    return identity, tuple(found[:_DEPTH_CAP])


def _samples(
    parts: Sequence[bytes], locations: dict[int | bytes, tuple[int, ...]], width: int
) -> tuple[tuple[Sample, ...], bool]:
    samples, cut, frames = [], False, 0
    for part in parts:
        inward: list[int] = []
        values: list[int] = []
        for field, value in _fields(part):
            if field == 1:
                for identity in _numbers(value):
                    if identity not in locations:
                        raise ValueError("the profile refers to a place that it does not have")
                    if len(inward) < _DEPTH_CAP:
                        inward += locations[identity]
                    else:
                        cut = True
            elif field == 2:
                values += (n - 2**64 if n >= 2**63 else n for n in _numbers(value))
        if len(values) != width:
            raise ValueError(f"a sample has {len(values)} values where {width} are declared")
        frames += len(inward)
        if frames > _FRAMES_CAP:
            raise ValueError(f"the profile's stacks have more than {_FRAMES_CAP} frames")
        samples.append(Sample(tuple(reversed(inward)), tuple(values)))
    return tuple(samples), cut
