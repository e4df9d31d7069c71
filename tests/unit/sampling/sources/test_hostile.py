"""Whatever the bytes, parsers answer; and what they answer fits the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources import (
    SYSTEM_SOURCES,
    pid_children,
    pid_cmdline,
    pid_numa_maps,
    pid_oom_score,
    pid_smaps,
    pid_smaps_classes,
    pid_stat,
    pid_status,
    slabinfo,
)

FIXTURES = Path(__file__).parents[3] / "fixtures" / "proc"
PARSERS: list[Callable[[bytes], object]] = [
    pid_stat.parse,
    pid_status.parse,
    pid_smaps.parse,
    pid_smaps_classes.parse,
    pid_numa_maps.parse,
    pid_oom_score.parse_score,
    pid_children.parse,
    pid_cmdline.parse,
    slabinfo.parse,
    *(make().parse for make in SYSTEM_SOURCES),
]
WORDS = [line for name in ("meminfo", "vmstat", "buddyinfo", "slabinfo", "zoneinfo", "pagetypeinfo", "swaps", "stat") for line in
         (FIXTURES / "linux-4.9-constructed" / name).read_bytes().splitlines(keepends=True)]  # fmt: skip
WORDS += [
    b"Rss:",
    b"Pss: ",
    b" kB\n",
    b"VmHWM:\t",
    b"Uid:\t",
    b"some avg10=",
    b"7f5e40000000 bind:1 file=/x huge anon=4 N1=4 kernelpagesize_kB=2048\n",
    b"0.16 0.12 0.08 2/100 ",
    b"total=",
    b"(",
    b") S ",
    b"1 ",
    b"\0",
    b"-1",
]
garbage = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(st.sampled_from(WORDS), st.integers(0, 2**70).map(lambda n: b" %d " % n), st.binary(max_size=4)),
             max_size=60).map(b"".join),
)  # fmt: skip


def numbers(answer: object) -> Iterator[int]:
    if isinstance(answer, int):
        yield answer
    elif isinstance(answer, dict):
        for value in answer.values():
            yield from numbers(value)
    elif isinstance(answer, list | tuple):
        for value in answer:
            yield from numbers(value)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda p: getattr(p, "__module__", type(p).__name__).rpartition(".")[2])
@given(data=garbage)
def test_no_parser_raises(parse: Callable[[bytes], object], data: bytes) -> None:
    assert all(0 <= n < 2**63 for n in numbers(parse(data)))
