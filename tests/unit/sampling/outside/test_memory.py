"""Memory of living processes: this one, and children that end or execute another program."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from harness.sampling.outside import mappings
from harness.sampling.outside.memory import LARGEST_READ_BYTES, Memory, ProcessMemory
from harness.sampling.outside.refusal import Torn, Unreadable

TEXT = b"what we look for, " * 300


@pytest.fixture
def own():
    memory = ProcessMemory("/proc", os.getpid())
    yield memory
    memory.close()


@pytest.fixture
def known():
    """(address, bytes) of memory of ours."""
    buffer = ctypes.create_string_buffer(TEXT, len(TEXT))
    yield ctypes.addressof(buffer), TEXT
    del buffer


def test_reads_what_is_there(own: Memory, known: tuple[int, bytes]) -> None:
    address, data = known
    assert own.read(address, len(data)) == data
    assert own.read(address, 0) == b""
    assert own.word(address) == int.from_bytes(data[:8], "little")
    assert own.words(address + 8, 2) == tuple(int.from_bytes(data[k : k + 8], "little") for k in (8, 16))


@pytest.mark.parametrize("address", [0, 8, 1 << 46, (1 << 63) - 8, 1 << 63, 1 << 64, 1 << 70, -8])
def test_nothing_there(own: Memory, address: int) -> None:
    with pytest.raises(Torn):
        own.read(address, 8)


@pytest.mark.parametrize("size", [-1, LARGEST_READ_BYTES + 1, 1 << 62])
def test_sizes_nobody_asks_for(own: Memory, known: tuple[int, bytes], size: int) -> None:
    with pytest.raises(Torn):
        own.read(known[0], size)


def test_scattered_pieces_and_zeros_for_what_is_not_there(own: Memory, known: tuple[int, bytes]) -> None:
    address, data = known
    wanted = [address + 3 * k for k in range(1500)]
    wanted[0] = wanted[700] = wanted[1499] = 8
    wanted[701] = 1 << 47
    wanted[702] = 1 << 70
    expected = [
        bytes(16) if at < 4096 or at >> 47 else data[at - address : at - address + 16].ljust(16, b"\0") for at in wanted
    ]
    found = own.scatter(wanted, 16)
    assert len(found) == 16 * len(wanted)
    for position, piece in enumerate(expected):
        assert found[16 * position : 16 * position + 16][: len(piece.rstrip(bytes(1)))] == piece.rstrip(bytes(1))
    assert own.scatter([], 16) == b""


def test_a_process_that_is_not_there() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(Unreadable, match="gone"):
        ProcessMemory("/proc", child.pid)


def test_after_the_end_nothing_is_read() -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    memory = ProcessMemory("/proc", child.pid)
    try:
        address = next(m.start for m in mappings.read("/proc", child.pid) if m.permissions == "rw-p")
        memory.read(address, 8)
        child.communicate()
        with pytest.raises(Unreadable):
            memory.read(address, 8)
        with pytest.raises(Unreadable):
            memory.scatter([address], 8)
    finally:
        memory.close()
