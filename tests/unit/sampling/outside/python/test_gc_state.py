"""The collector, interpreters and threads, in structures built by hand for every layout of the table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_world import INTERPRETERS, RUNTIME, THREADS, Collector, runtime

from harness.sampling.outside.python import gc_state, layouts
from harness.sampling.outside.refusal import Torn

TABLE = layouts.shipped()
LAYOUT = next(layout for layout in TABLE if layout.minor == 0x030B)
numbers = st.integers(0, (1 << 31) - 1)
large = st.integers(0, (1 << 40) - 1)
collectors = st.builds(
    Collector,
    enabled=st.integers(0, 1),
    thresholds=st.tuples(numbers, numbers, numbers),
    counts=st.tuples(numbers, numbers, numbers),
    stats=st.tuples(*[st.tuples(large, large, large)] * 3),
    frozen=st.booleans(),
    threads=st.integers(1, 5),
)


@pytest.mark.parametrize("layout", TABLE, ids=lambda layout: layout.version)
@settings(max_examples=20, deadline=None)
@given(several=st.lists(collectors, min_size=1, max_size=3))
def test_what_is_there_is_read(layout: layouts.Layout, several: list[Collector]) -> None:
    if "runtime.gc" in layout.offsets:
        several = several[:1]
    found = gc_state.read(runtime(layout, several), RUNTIME, layout, tasks=5, strict=True)
    assert [i.address for i in found] == [INTERPRETERS + (k << 16) for k in reversed(range(len(several)))]
    for interpreter, collector in zip(reversed(found), several, strict=True):
        assert interpreter.enabled == collector.enabled
        assert interpreter.thresholds == collector.thresholds
        assert interpreter.counts == collector.counts
        assert (interpreter.collections, interpreter.collected, interpreter.uncollectable) == tuple(
            zip(*collector.stats, strict=True)
        )
        assert interpreter.frozen == collector.frozen
        assert interpreter.threads == collector.threads


def refused(layout: layouts.Layout, address: int, value: int, size: int = 8, **collector: object) -> None:
    memory = runtime(layout, [Collector(**collector)])
    gc_state.read(memory, RUNTIME, layout, tasks=8, strict=True)
    memory.poke(address, value.to_bytes(size, "little"))
    with pytest.raises(Torn):
        gc_state.read(memory, RUNTIME, layout, tasks=8, strict=True)
    assert memory.reads < 2000


def offset(name: str) -> int:
    return LAYOUT.offsets[name]


GC = INTERPRETERS + offset("interpreter.gc")


@pytest.mark.parametrize(
    ("address", "value", "size"),
    [
        (RUNTIME + offset("runtime.interpreters_head"), 0, 8),
        (RUNTIME + offset("runtime.interpreters_head"), 0xDEAD0000, 8),
        (INTERPRETERS + offset("interpreter.next"), INTERPRETERS, 8),  # a circle
        (INTERPRETERS + offset("interpreter.threads"), 0, 8),
        (INTERPRETERS + offset("interpreter.threads"), 0xDEAD0000, 8),
        (THREADS + offset("thread.interpreter"), INTERPRETERS + 8, 8),
        (THREADS + offset("thread.next"), THREADS, 8),  # a circle
        (THREADS + 256 + offset("thread.previous"), THREADS + 512, 8),
        (GC + offset("gc.enabled"), 2, 4),
        (GC + offset("gc.collecting"), 1, 4),
        (GC + offset("gc.generation0"), GC, 8),
        (GC + offset("gc.generations") + 24, GC, 8),
        (GC + offset("gc.permanent"), GC, 8),
        (GC + offset("gc.generations") + 24 + 16, 0xFFFFFFFF, 4),  # threshold -1
        (GC + offset("gc.generations") + 24 + 20, 0xFFFFFFFF, 4),  # count -1
        (GC + offset("gc.stats"), 1 << 40, 8),
        (GC + offset("gc.stats") + 8, (1 << 64) - 1, 8),
    ],
)
def test_what_does_not_hang_together_is_refused(address: int, value: int, size: int) -> None:
    refused(LAYOUT, address, value, size, threads=3)


def test_more_threads_than_tasks() -> None:
    memory = runtime(LAYOUT, [Collector(threads=9)])
    assert gc_state.read(memory, RUNTIME, LAYOUT, tasks=9)[0].threads == 9
    with pytest.raises(Torn, match="threads"):
        gc_state.read(memory, RUNTIME, LAYOUT, tasks=3)


def test_interpreters_without_end() -> None:
    memory = runtime(LAYOUT, [Collector()] * 257)
    with pytest.raises(Torn, match="does not end"):
        gc_state.read(memory, RUNTIME, LAYOUT, tasks=8)


def test_during_a_collection_the_lists_are_not_looked_at() -> None:
    memory = runtime(LAYOUT, [Collector()])
    memory.poke(GC + offset("gc.collecting"), b"\1")
    memory.poke(GC + offset("gc.generations") + 48, bytes(16))
    assert gc_state.read(memory, RUNTIME, LAYOUT, tasks=8)[0].collections == (11, 21, 31)
    with pytest.raises(Torn):
        gc_state.read(memory, RUNTIME, LAYOUT, tasks=8, strict=True)
