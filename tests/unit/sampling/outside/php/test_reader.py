"""The whole reader on the memory of real processes (PHP 8.2.32 and 8.2.36, whose layouts differ), whole and damaged."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest
from captured import Captured, captured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_dump import DumpedProcess

from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.php.heap import CHUNK_BYTES, PAGE_BYTES
from harness.sampling.outside.php.probe import BALANCE_EVERY
from harness.sampling.outside.php.reader import Php, attach
from harness.sampling.outside.refusal import Refused, Torn

CAPTURES = {name: captured(name) for name in ("php-8.2.32", "php-8.2.36")}


@pytest.fixture(params=CAPTURES)
def capture(request: pytest.FixtureRequest) -> Iterator[Captured]:
    yield CAPTURES[request.param]
    CAPTURES[request.param].memory.restore()


def attached(capture: Captured) -> Php:
    php = attach(capture.process)
    assert php is not None
    return php


def test_equal_to_what_php_said(capture: Captured) -> None:
    own = json.loads(capture.said)
    php = attached(capture)
    values = php.walk()
    assert values == {**php.counters(), **capture.values}
    assert values["runtime.php.heap.size"] == own["usage"]
    assert values["runtime.php.heap.peak"] == own["peak"]
    assert values["runtime.php.heap.real"] == own["real"]
    assert values["runtime.php.heap.real_peak"] == own["real_peak"]
    for name in ("roots", "runs", "collected", "threshold"):
        assert values[f"runtime.php.gc.{name}"] == own["gc"][name]
    memory = own["opcache"]["memory_usage"]
    assert values["runtime.php.opcache.free"] == memory["free_memory"]
    assert values["runtime.php.opcache.size"] == sum(memory[f"{part}_memory"] for part in ("used", "free", "wasted"))
    assert values["runtime.php.apcu.free"] == own["apcu"]["avail_mem"]
    assert set(php.missing) <= {"runtime.php.heap.resident"}, "the page map is not a part of captured memory"


def test_objects_by_class(capture: Captured) -> None:
    php = attached(capture)
    assert php.types(1) == capture.types == [("Small", 72, 72 * 80), ("Wide", 8, 8 * 224)]
    assert php.facts["executor_globals.objects_store"] == 840  # as in the headers of both


def test_between_requests_no_object_lives(capture: Captured) -> None:
    for located in (False, True):
        php = attached(capture)
        if located:
            php.types(1)
        capture.memory.poke(php._heap.address + 16, struct.pack("<QQ", 0, 0))
        assert php.types(1) == []
        capture.memory.restore()


def test_a_heap_too_small_for_the_objects_is_a_request_that_has_just_ended(capture: Captured) -> None:
    php = attached(capture)
    php.types(1)
    capture.memory.poke(php._heap.address + 16, struct.pack("<QQ", 8200, 8200))
    assert php.types(1)  # 8 KB of store fit, and so do the objects
    capture.memory.poke(php._heap.address + 16, struct.pack("<QQ", 8191, 8191))
    assert php.types(1) == []


def test_a_probe_is_one_read_a_sample_and_balances_the_books(capture: Captured) -> None:
    php = attached(capture)
    probe = php.probe()
    own = json.loads(capture.said)
    capture.memory.reads = capture.memory.bytes_read = 0
    for _ in range(BALANCE_EVERY - 1):
        assert probe.sample() == (own["usage"], own["peak"], own["real"])
    assert capture.memory.reads == BALANCE_EVERY - 1
    assert capture.memory.bytes_read < 300 * BALANCE_EVERY
    # the next one finds that a chunk has come that real_size knows nothing of
    at = php._heap.address + 8 * php._heap.shape.main_chunk + 16
    capture.memory.poke(at, struct.pack("<I", 3000))
    assert probe.sample() is None
    assert (probe.taken, probe.refused) == (BALANCE_EVERY - 1, 1)
    capture.memory.restore()
    capture.memory.poke(php._heap.address + 16, struct.pack("<Q", own["peak"] + 1))
    assert probe.sample() is None
    capture.memory.restore()
    capture.memory.poke(php._heap.address + 24, struct.pack("<Q", 1 << 63))
    assert probe.sample() is None, "no consumer can hold such a peak"


def test_what_is_in_change_is_left_out_and_the_rest_told(capture: Captured) -> None:
    php = attached(capture)
    assert php._gc_globals is not None
    capture.memory.poke(php._gc_globals + 8, b"\x09")  # neither on nor off
    values = php.counters()
    assert "runtime.php.heap.size" in values
    assert not any(name.startswith("runtime.php.gc") for name in values)


def test_no_main_chunk_and_two_are_refused(capture: Captured) -> None:
    main = attached(capture)._heap.main_chunk
    capture.memory.poke(main, struct.pack("<Q", main + 72))
    with pytest.raises(Torn, match="0 Zend heaps"):
        attach(capture.process)
    capture.memory.restore()
    # a block of its own that looks like another heap: PHP's data may say anything
    other = 0x1000_0000_0000
    two = DumpedProcess(
        [(at, capture.memory.read(at, PAGE_BYTES)) for at in capture.pages]
        + [(other, struct.pack("<3Q", other + 64, other, other))],
        [*capture.process.mappings, Mapping(other, other + CHUNK_BYTES, "rw-p", 0, "")], "", 1,
    )  # fmt: skip
    with pytest.raises(Torn, match="2 Zend heaps"):
        attach(two)


damage = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 4088), st.binary(min_size=1, max_size=8)), max_size=6
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=damage, after=damage)
def test_damaged_memory_is_read_or_refused(
    capture: Captured, before: list[tuple[int, int, bytes]], after: list[tuple[int, int, bytes]]
) -> None:
    capture.memory.restore()
    try:
        for page, offset, data in before:
            capture.memory.poke(capture.pages[page % len(capture.pages)] + offset, data)
        php = attach(capture.process)
        if php is None:
            return
        for page, offset, data in after:
            capture.memory.poke(capture.pages[page % len(capture.pages)] + offset, data)
        for reading in (php.counters, php.walk, php.probe().sample, lambda: php.types(1), lambda: php.types(3)):
            try:
                reading()
            except Refused:
                continue
        values = php.walk()
        assert values["runtime.php.heap.size"] <= values["runtime.php.heap.real"]
        assert values["runtime.php.heap.free_in_runs"] >= 0
    except Refused:
        pass
    finally:
        capture.memory.restore()
