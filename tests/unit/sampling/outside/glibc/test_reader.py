"""The whole reader on the memory of a real process that used malloc in five threads (glibc 2.36), whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from captured import Captured, captured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sampling.outside.glibc.arenas import Ring
from harness.sampling.outside.glibc.reader import attach
from harness.sampling.outside.refusal import Refused, Torn

CAPTURE = captured("glibc-2.36")


@pytest.fixture
def capture() -> Iterator[Captured]:
    yield CAPTURE
    CAPTURE.memory.restore()


def test_equal_to_what_mallinfo2_said(capture: Captured) -> None:
    arena, hblkhd, uordblks, fsmblks, fordblks, _ = map(int, capture.said.split())
    reader = attach(capture.process)
    values = {**reader.counters(), **reader.walk()}
    assert values == capture.values
    assert values["runtime.glibc.arenas"] > 1
    assert values["runtime.glibc.system"] == arena
    assert values["runtime.glibc.mmapped"] == hblkhd
    assert values["runtime.glibc.used"] == uordblks + fsmblks
    assert values["runtime.glibc.free"] == fordblks - fsmblks
    assert not reader.missing


def test_counters_are_a_few_small_reads(capture: Captured) -> None:
    reader = attach(capture.process)
    capture.memory.reads = capture.memory.bytes_read = 0
    arenas = reader.counters()["runtime.glibc.arenas"]
    assert capture.memory.bytes_read <= 8 * (5 * arenas + 5)


def test_arenas_over_the_cap_are_summed(capture: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = attach(capture.process).walk()
    monkeypatch.setattr("harness.sampling.outside.glibc.reader.SHOWN_ARENAS", 2)
    cut = attach(capture.process).walk()
    rest = sum(v for k, v in whole.items() if k.startswith("runtime.glibc.used_arena.") and k[-1] not in "01")
    assert cut["runtime.glibc.used_arena.rest"] == rest > 0
    assert cut["runtime.glibc.used_arena.1"] == whole["runtime.glibc.used_arena.1"]
    assert cut["runtime.glibc.used"] == whole["runtime.glibc.used"]


def test_heaps_larger_than_the_cap_are_not_walked(capture: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = attach(capture.process)
    monkeypatch.setattr("harness.sampling.outside.glibc.reader.WALK_CAP_BYTES", 4096)
    with pytest.raises(Refused, match="larger than"):
        reader.walk()


def test_a_ring_that_does_not_close_is_refused(capture: Captured) -> None:
    reader = attach(capture.process)
    main = reader._ring._known[0]
    capture.memory.poke(main + 2048, struct.pack("<Q", main + 8))
    with pytest.raises(Torn):
        reader.counters()
    with pytest.raises(Torn):
        Ring(capture.memory, main, 112)


def test_without_a_heap_in_the_maps_the_walk_is_missing(capture: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture.process, "mappings", [m for m in capture.process.mappings if m.path != "[heap]"])
    reader = attach(capture.process)
    assert set(reader.missing) == {"runtime.glibc.mmapped", "runtime.glibc.used"}
    assert "runtime.glibc.mmapped" not in reader.counters()
    with pytest.raises(Refused, match="mp_ was not found"):
        reader.walk()


damage = st.lists(
    st.tuples(st.sampled_from(CAPTURE.pages), st.integers(0, 4088), st.binary(min_size=1, max_size=8)), max_size=6
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=damage, after=damage)
def test_damaged_memory_is_read_or_refused(
    capture: Captured, before: list[tuple[int, int, bytes]], after: list[tuple[int, int, bytes]]
) -> None:
    capture.memory.restore()
    try:
        for page, offset, data in before:
            capture.memory.poke(page + offset, data)
        reader = attach(capture.process)
        for page, offset, data in after:
            capture.memory.poke(page + offset, data)
        assert reader.counters()["runtime.glibc.system"] > 0
        values = reader.walk()
        assert values["runtime.glibc.used"] >= 0
        assert values["runtime.glibc.free"] >= 0
    except Refused:
        pass
    finally:
        capture.memory.restore()
