"""Messages of the kernel's process connector. The bytes are from a real kernel (6.18); processes are named by the test."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources.proc_events import Exit, Fork, parse

HEAD = struct.pack("<IHHII", 76, 3, 0, 7, 0) + struct.pack("<IIIIHH", 1, 1, 9, 0, 40, 0)


def message(what: int, *fields: int) -> bytes:
    return (
        HEAD + struct.pack("<IIQ", what, 1, 672_734_607_088) + struct.pack(f"<{len(fields)}I", *fields).ljust(24, b"\0")
    )


def test_a_fork_and_an_exit_as_captured() -> None:
    fork = bytes.fromhex("5b4a00005b4a0000844a0000844a00000000000000000000")
    left = bytes.fromhex("844a0000844a000000000000110000005b4a00005b4a0000")
    assert parse(HEAD + struct.pack("<IIQ", 1, 1, 672_734_607_088) + fork) == Fork(672_734_607_088, 0x4A5B, 0x4A84)
    assert parse(HEAD + struct.pack("<IIQ", 1 << 31, 0, 672_735_599_449) + left) == Exit(
        672_735_599_449, 0x4A84, 0, None
    )


@pytest.mark.parametrize(
    ("status", "code", "signal"), [(3 << 8, 3, None), (9, None, 9), (0x80 | 11, None, 11), (255 << 8, 255, None)]
)
def test_how_a_process_ended(status: int, code: int | None, signal: int | None) -> None:
    assert parse(message(1 << 31, 5, 5, status, 17)) == Exit(672_734_607_088, 5, code, signal)


@pytest.mark.parametrize(
    "data",
    [message(1, 5, 5, 7, 6), message(1 << 31, 7, 6, 0, 17), message(2, 5, 5), message(0, 0), HEAD, b""],
    ids=["a new thread", "the end of a thread", "an exec", "an acknowledgement", "nothing behind the head", "nothing"],
)
def test_what_is_left_out(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    parse(data)
    parse(HEAD + data)
