"""The kernel's account of a task at its exit."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources.taskstats import ExitStats, parse


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) & 3)


def account(version: int = 14, hiwater_kb: int = 213_412, pid: int = 4711) -> bytes:
    """struct taskstats, as include/uapi/linux/taskstats.h lays it out."""
    fields = bytearray(416)
    struct.pack_into("<H", fields, 0, version)
    fields[80:86] = b"python"
    struct.pack_into("<IIII", fields, 120, 33, 33, pid, 1)
    struct.pack_into("<4Q", fields, 152, 100_000, 32_000, 52_040, 2)
    struct.pack_into("<Q", fields, 200, hiwater_kb)
    return bytes(fields)


def message(stats: bytes, outer: int = 4) -> bytes:
    body = attribute(outer, attribute(1, struct.pack("<I", 4711)) + attribute(3, stats))
    return struct.pack("<IHHII", 20 + len(body), 29, 0, 0, 0) + struct.pack("<BBH", 2, 1, 0) + body


def test_an_account() -> None:
    assert parse(message(account())) == ExitStats(
        pid=4711,
        comm=b"python",
        uid=33,
        hwm_bytes=213_412 * 1024,
        cpu_ns=132_000_000,
        minor_faults=52_040,
        major_faults=2,
    )


def test_a_task_without_memory_of_its_own_has_no_high_water_mark() -> None:
    found = parse(message(account(hiwater_kb=0)))
    assert found is not None
    assert found.hwm_bytes is None


@pytest.mark.parametrize(
    "data",
    [message(account(version=7)), message(account()[:200]), message(account(), outer=5), message(b""), b""],
    ids=["too old", "cut short", "the account of a thread group", "empty", "nothing"],
)
def test_what_is_not_understood(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    parse(data)
    parse(message(account())[:20] + data)
