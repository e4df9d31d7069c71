"""opcache's and APCu's segments, built by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.php.shared import Apcu, ApcuSegment, Opcache, OpcacheSegment, find_apcu, find_opcache
from harness.sampling.outside.refusal import Torn

START = 0x4000_0000
BYTES = 8 << 20
END = START + BYTES
APCU = 0x7F00_0000_0000
APP, SEGMENTS, SEGMENT, POSITIONS = START + 512, START + 256, START + 264, START + 320


def pack(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)


def opcache(*segment: int, **changed: int) -> DumpedMemory:
    """With the words of its only segment's description; ``changed``: words of the head by w and their number."""
    head = [SEGMENTS, 1, 5_000_000, 64_000, 0, POSITIONS, 5_000_000, APP]
    for name, value in changed.items():
        head[int(name[1:])] = value
    data = bytearray(4096)
    data[:64] = pack(*head)
    data[256:264] = pack(SEGMENT)
    data[264 : 264 + 8 * len(segment)] = pack(*segment)
    data[512 : 512 + 48] = pack(1000, 20, 3, 4, 5, 6)
    return DumpedMemory([(START, bytes(data))])


NEW = (BYTES, BYTES - (1 << 20), 123_456, START)  # 1 MiB at its end is reserved for compiled code
OLD = (BYTES, 123_456, START, 0)  # before PHP 8.0


@pytest.mark.parametrize(("segment", "size"), [(NEW, BYTES - (1 << 20)), (OLD, BYTES)])
def test_opcache(segment: tuple[int, ...], size: int) -> None:
    found = OpcacheSegment(opcache(*segment), START, END)
    assert found.read() == Opcache(size, 5_000_000, 64_000, False, 1000, 20, 15)


@pytest.mark.parametrize("changed", [{"w0": 0}, {"w1": 2}, {"w2": BYTES}, {"w4": 2}, {"w5": END}, {"w7": APP + 1}])
def test_what_is_not_opcaches(changed: dict[str, int]) -> None:
    with pytest.raises(Torn):
        OpcacheSegment(opcache(*NEW, **changed), START, END)


def test_a_segment_elsewhere_is_not_opcaches() -> None:
    with pytest.raises(Torn, match="where it is"):
        OpcacheSegment(opcache(BYTES, BYTES, 123_456, START + 4096), START, END)


def test_opcache_that_changed_is_torn() -> None:
    memory = opcache(*NEW)
    found = OpcacheSegment(memory, START, END)
    memory.poke(START + 32, b"\x01")
    assert found.read().full
    memory.poke(START + 16, pack(BYTES))
    with pytest.raises(Torn, match="not what it was"):
        found.read()


def apcu_page(lock_words: int = 7, free: int = 1_000_000) -> bytes:
    return (bytes(8 * lock_words) + pack(BYTES, free, 4096)).ljust(4096, b"\0")


@given(st.integers(2, 12))
def test_apcu_behind_any_lock(lock_words: int) -> None:
    memory = DumpedMemory([(APCU, apcu_page(lock_words))])
    assert ApcuSegment(memory, APCU, APCU + BYTES).read() == Apcu(BYTES, 1_000_000)


def test_what_is_not_apcus() -> None:
    for page in (bytes(4096), apcu_page(free=BYTES), apcu_page(free=0), (pack(*[BYTES] * 20)).ljust(4096, b"\0")):
        with pytest.raises(Torn):
            ApcuSegment(DumpedMemory([(APCU, page)]), APCU, APCU + BYTES)


def test_segments_among_the_mappings() -> None:
    both = DumpedMemory([(START, opcache(*NEW).read(START, 4096)), (APCU, apcu_page())])
    mappings = [
        Mapping(START, END, "rw-s", 0, "/dev/zero (deleted)"),
        Mapping(APCU, APCU + BYTES, "rw-s", 0, "/dev/zero (deleted)"),
    ]
    found = find_opcache(both, mappings)
    assert found is not None
    assert found.start == START
    assert find_apcu(both, mappings, found) is None  # not loaded
    mappings.append(Mapping(1 << 40, (1 << 40) + 4096, "r-xp", 0, "/usr/lib/php/20220829/apcu.so"))
    apcu = find_apcu(both, mappings, found)
    assert apcu is not None
    assert apcu.read().free == 1_000_000
    assert find_opcache(both, mappings[1:]) is None
    private = [mapping._replace(permissions="rw-p") for mapping in mappings]
    assert find_opcache(both, private) is None
    # read-only for the workers, as with opcache.protect_memory
    assert find_opcache(both, [mappings[0]._replace(permissions="r--s")]) is not None
