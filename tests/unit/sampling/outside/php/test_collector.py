"""gc_globals and the function that leads to it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside.image import Image, Symbol
from harness.sampling.outside.php import collector
from harness.sampling.outside.php.collector import Collector, parse
from harness.sampling.outside.refusal import Refused, Torn

CODE = 0x5500_0000_1000


def state(*, flags: bytes = b"\1\0\0\0", size: int = 16_384, roots: int = 70, threshold: int = 10_001) -> bytes:
    return struct.pack("<Q4s7I", 0x7F00_0000_0000, flags, 0, 90, threshold, size, roots, 3, 12_000)


def test_what_gc_status_says() -> None:
    assert parse(state()) == Collector(True, 10_001, 70, 3, 12_000)
    assert not parse(state(flags=b"\0\0\0\0")).enabled
    for torn in (state(flags=b"\2\0\0\0"), state(flags=b"\1\0\0\7"), state(roots=16_385), state(size=1 << 31)):
        with pytest.raises(Torn):
            parse(torn)


@given(st.binary(min_size=40, max_size=40))
def test_any_bytes(data: bytes) -> None:
    try:
        found = parse(data)
    except Torn:
        return
    assert found.roots >= 0


class Exports(Image):
    """An image that exports one function."""

    def __init__(self, symbol: Symbol | None) -> None:
        self._symbol = symbol

    def symbol(self, name: str) -> Symbol | None:
        return self._symbol if name == "gc_enabled" else None


@pytest.mark.parametrize("landing_pad", [b"", b"\xf3\x0f\x1e\xfa"])
def test_the_load_leads_to_the_struct(landing_pad: bytes) -> None:
    code = landing_pad + b"\x0f\xb6\x05" + struct.pack("<i", -0x800) + b"\xc3"
    memory = DumpedMemory([(CODE, code.ljust(32, b"\x90"))])
    end_of_load = CODE + len(code) - 1
    assert collector.locate(memory, Exports(Symbol(CODE, 8))) == end_of_load - 0x800 - 8


def test_other_code_is_refused() -> None:
    memory = DumpedMemory([(CODE, b"\x48\x8b\x05\0\0\0\0\xc3".ljust(32, b"\x90"))])
    with pytest.raises(Refused, match="not the code known"):
        collector.locate(memory, Exports(Symbol(CODE, 8)))
    with pytest.raises(Refused, match="not exported"):
        collector.locate(memory, Exports(None))


def test_a_reading_that_stays_torn_is_refused_after_some_tries() -> None:
    memory = DumpedMemory([(CODE, state(flags=b"\2\0\0\0"))])
    with pytest.raises(Torn):
        collector.read(memory, CODE)
    assert 1 < memory.reads < 10
