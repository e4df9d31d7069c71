"""Loaded images: the C library in this process, and headers that lie."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside import image as image_module
from harness.sampling.outside import mappings
from harness.sampling.outside.image import Image, images
from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.memory import ProcessMemory
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Refused

LIBC = ctypes.CDLL("libc.so.6")


@pytest.fixture
def libc():
    memory = ProcessMemory("/proc", os.getpid())
    (image,) = images(memory, mappings.read("/proc", os.getpid()), lambda path: path.endswith("/libc.so.6"))
    yield image
    memory.close()


@pytest.mark.parametrize("name", ["malloc", "free", "environ", "stdout", "qsort"])
def test_symbols_are_where_the_loader_has_them(libc: Image, name: str) -> None:
    found = libc.symbol(name)
    assert found is not None
    assert found.address == ctypes.addressof(ctypes.c_char.in_dll(LIBC, name))
    assert libc.contains(found.address)
    assert found.size > 0


def test_what_is_not_defined_here(libc: Image) -> None:
    assert libc.symbol("harness_has_no_such_symbol") is None
    assert libc.symbol("") is None


def test_writable_data_holds_the_variables(libc: Image) -> None:
    found = libc.symbol("stdout")
    assert found is not None
    assert any(start <= found.address < start + size for start, size in libc.writable)


def test_build_id(libc: Image) -> None:
    notes = subprocess.run(["readelf", "-n", libc.path], capture_output=True, text=True, check=True).stdout
    assert f"Build ID: {libc.build_id()}\n" in notes


def test_files_that_are_no_images() -> None:
    memory = DumpedMemory([(0x10000, b"#!/bin/sh\n".ljust(4096, b"\0"))])
    maps = [Mapping(0x10000, 0x11000, "r--p", 0, "/a"), Mapping(0x20000, 0x21000, "r--p", 4096, "/b")]
    assert images(memory, maps, lambda path: True) == []
    with pytest.raises(Refused, match="not an ELF64"):
        Image(memory, maps[:1])
    with pytest.raises(Refused, match="first page"):
        Image(memory, maps[1:])


@pytest.fixture(scope="module")
def copied() -> tuple[DumpedMemory, list[Mapping]]:
    """The C library as it is loaded here."""
    maps = [m for m in mappings.read("/proc", os.getpid()) if m.path.endswith("/libc.so.6")]
    memory = ProcessMemory("/proc", os.getpid())
    pieces = [(m.start, memory.read(m.start, m.size)) for m in maps if m.permissions.startswith("r")]
    memory.close()
    return DumpedMemory(pieces), maps


@settings(max_examples=300, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 1023), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=4))
def test_damaged_headers_are_refused_or_read(
    copied: tuple[DumpedMemory, list[Mapping]], damage: list[tuple[int, int]]
) -> None:
    memory, maps = copied
    for place, value in damage:
        memory.poke(maps[0].start + place, value.to_bytes(8, "little"))
    memory.reads = memory.bytes_read = 0
    try:
        image = Image(memory, maps)
        image.symbol("malloc")
        image.build_id()
    except Refused:
        pass
    finally:
        memory.restore()
    assert memory.reads < 20_000
    assert memory.bytes_read < 1 << 20


def test_a_text_is_found_wherever_it_is_also_across_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "_CHUNK_BYTES", 512)
    with closing(Process("/proc", os.getpid())) as process:
        libc = next(i for i in process.images(lambda path: "/libc.so.6" in path))
        assert re.fullmatch(
            r"2\.\d+", libc.text(re.compile(rb"GNU C Library [^\n\0]{0,200} version (\d{1,3}\.\d{1,3})"))
        )
        assert libc.text(re.compile(rb"(no such text in any library \d{40})")) == ""
