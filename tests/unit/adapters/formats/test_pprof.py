"""Reading pprof: the capture of a genuine profiler, a writer of the tests' own, and what is no profile."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.formats import pprof
from harness.model.profile import Frame

CAPTURE = Path(__file__).parents[3] / "fixtures" / "captures" / "blackfire" / "conprof.pprof.zst"


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(
    types: Sequence[tuple[str, str]], samples: Sequence[tuple[Sequence[str], Sequence[int]]], *, packed: bool = True
) -> bytes:
    """A profile whose functions are named by the stacks (outermost first); file and line follow from the name."""
    texts, out = [""], b""

    def text(word: str) -> int:
        if word not in texts:
            texts.append(word)
        return texts.index(word)

    for name, unit in types:
        out += field(1, field(1, text(name)) + field(2, text(unit)))
    functions: list[str] = []
    for stack, values in samples:
        functions += [name for name in stack if name not in functions]
        places = [functions.index(name) + 1 for name in reversed(stack)]
        if packed:
            body = field(1, b"".join(map(varint, places))) + field(2, b"".join(map(varint, values)))
        else:
            body = b"".join(field(1, n) for n in places) + b"".join(field(2, n) for n in values)
        out += field(2, body)
    for number, name in enumerate(functions, 1):
        out += field(4, field(1, number) + field(4, field(1, number) + field(2, 99)))
        out += field(5, field(1, number) + field(2, text(name)) + field(4, text(f"{name}.py")) + field(5, number))
    return out + b"".join(field(6, word.encode()) for word in texts) + field(9, 1_000) + field(10, 500)


HEAP = [("alloc-space", "bytes"), ("heap-space", "bytes")]


@pytest.mark.parametrize("packed", [True, False])
def test_stacks_and_values(packed: bool) -> None:
    found = pprof.parse(message(HEAP, [(["main", "leak"], [9, 5]), (["main"], [1, -2])], packed=packed))
    assert found.value_types == (("alloc-space", "bytes"), ("heap-space", "bytes"))
    assert found.frames == (Frame("main", "main.py", 1), Frame("leak", "leak.py", 2))
    assert found.samples == (pprof.Sample((0, 1), (9, 5)), pprof.Sample((0,), (1, -2)))
    assert (found.time_ns, found.duration_ns, found.cut) == (1_000, 500, False)
    assert (found.column("heap-space"), found.column("cpu")) == (1, None)
    profile = pprof.to_profile(found, "conprof", ("heap-space",))
    assert [(v.name, v.unit, v.title) for v in profile.value_types] == [("heap_space", "bytes", "heap space")]
    assert {profile.frames[f.frame].function: (f.self_values, f.inclusive_values) for f in profile.functions} == {
        "main": ((-2,), (3,)),
        "leak": ((5,), (5,)),
    }


def test_inlined_functions_are_frames_of_their_own() -> None:
    inner, outer = field(1, 1), field(1, 2)
    data = (
        field(1, field(1, 1) + field(2, 2))
        + field(2, field(1, b"\x07") + field(2, b"\x03"))
        + field(4, field(1, 7) + field(4, inner) + field(4, outer))
        + field(5, field(1, 1) + field(2, 3))
        + field(5, field(1, 2) + field(2, 4))
        + b"".join(field(6, text) for text in (b"", b"inuse_space", b"bytes", b"inlined", b"around"))
    )
    found = pprof.parse(data)
    assert [found.frames[n].function for n in found.samples[0].stack] == ["around", "inlined"]


def test_the_capture_of_a_genuine_profiler() -> None:
    found = pprof.parse(pprof.unpack(CAPTURE.read_bytes()))
    profile = pprof.to_profile(found, "conprof", ("heap-space", "alloc-space"))
    values = {profile.frames[f.frame].function: f.inclusive_values for f in profile.functions}
    assert values["leak"] == (23_393_450, 48_626_848)
    assert found.time_ns == 1_795_401_662_167_469_014


def test_however_it_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = pprof.unpack(CAPTURE.read_bytes())
    assert pprof.unpack(gzip.compress(plain)) == plain
    assert pprof.unpack(plain) == plain
    for name in ("compression", "backports"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, f"{name}.zstd", None)
    with pytest.raises(pprof.NoZstdError, match=r"profiling-harness\[conprof\]"):
        pprof.unpack(CAPTURE.read_bytes())


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_what_unpacks_to_more_than_the_cap_is_not_unpacked(pack: str) -> None:
    zeros = bytes(50_000_000)
    if pack == "gzip":
        bomb = gzip.compress(zeros)
    elif sys.version_info >= (3, 14):
        from compression import zstd

        bomb = zstd.compress(zeros)
    else:
        from backports import zstd

        bomb = zstd.compress(zeros)
    assert len(bomb) < 60_000
    with pytest.raises(ValueError, match="larger than 1000000 bytes when unpacked"):
        pprof.unpack(bomb, 1_000_000)


def test_a_packed_profile_cut_anywhere_is_refused() -> None:
    whole = CAPTURE.read_bytes()
    for packed in (whole, gzip.compress(pprof.unpack(whole))):
        for size in range(4, len(packed), 7):
            with pytest.raises(ValueError, match=r"cut|damaged"):
                pprof.unpack(packed[:size])


def test_a_message_cut_anywhere_is_refused_or_smaller() -> None:
    whole = message(HEAP, [(["main", "leak"], [9, 5]), (["main"], [1, 2])])
    for size in range(len(whole)):
        with suppress(ValueError):
            assert len(pprof.parse(whole[:size]).samples) <= 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no value types"),
        (b"\xff" * 30, "too long"),
        (b"\x0b", "no pprof"),
        (field(1, field(1, 5)), "a text that it does not have"),
        (field(1, b"") + field(6, b"") + field(2, field(1, b"\x09")), "a place that it does not have"),
        (field(1, b"") + field(6, b"") + field(4, field(4, field(1, 9))), "a function that it does not have"),
        (field(1, b"") + field(6, b"") + field(2, field(2, b"\x01\x02")), "2 values where 1 are declared"),
        (field(1, b"") * 65 + field(6, b""), "too many"),
        (varint(1 << 3 | 1) + b"1234567", "cut"),
    ],
)
def test_what_is_no_profile(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        pprof.parse(data)


def test_deep_stacks_are_cut_at_the_outside_and_that_is_said() -> None:
    stack = [f"f{n}" for n in range(1100)]
    found = pprof.parse(message([("heap-space", "bytes")], [(stack, [1])]))
    assert found.cut
    assert len(found.samples[0].stack) == 1024
    profile = pprof.to_profile(found, "conprof")
    assert not profile.complete
    assert profile.notes == ("Stacks deeper than 1024 calls were cut.",)
    assert profile.frames[found.samples[0].stack[-1]].function == "f1099"


@given(st.binary(max_size=300))
@example(b"\x0a\x00")
def test_any_bytes_give_a_profile_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        pprof.parse(pprof.unpack(data))


names = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(st.lists(names, min_size=1, max_size=5), st.integers(-(2**63), 2**63 - 1)), max_size=8))
def test_what_was_written_is_read(samples: list[tuple[list[str], int]]) -> None:
    found = pprof.parse(message([("heap-space", "bytes")], [(stack, [value]) for stack, value in samples]))
    assert [([found.frames[n].function for n in s.stack], s.values[0]) for s in found.samples] == samples


def test_stacks_of_inlined_frames_are_limited_together() -> None:
    """A sample is 7 bytes and may be 1024 frames: half a million of them took 4 GB."""
    inlined = field(4, field(1, 1) + field(4, field(1, 1)) * 1024)
    head = (
        field(6, b"")
        + field(6, b"a")
        + field(1, field(1, 1) + field(2, 1))
        + field(5, field(1, 1) + field(2, 1))
        + inlined
    )
    sample = field(2, field(1, b"\x01") + field(2, b"\x01"))
    assert len(pprof.parse(head + sample * 2).samples) == 2
    with pytest.raises(ValueError, match="more than 8000000 frames"):
        pprof.parse(head + sample * 8000)
