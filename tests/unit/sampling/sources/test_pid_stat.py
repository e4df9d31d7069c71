"""/proc/PID/stat."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources import pid_stat

TAIL = b" S 7 1 1 0 -1 4194560 11 0 3 0 40 2 9 9 20 0 5 0 8800 1000 25 18446744073709551615 94 95 96 0"


def test_every_field() -> None:
    stat = pid_stat.parse(b"42 (php)" + TAIL + b"\n")
    assert stat == pid_stat.PidStat(b"php", b"S", 7, 8800, 11, 3, 42, 5, 25, (94, 96))


@pytest.mark.parametrize("comm", [b"a b", b"a) S 1 (b\nc", b")", b"(", b"", b") R 1 2 3 4 5"])
def test_the_name_is_whatever_the_process_likes(comm: bytes) -> None:
    stat = pid_stat.parse(b"42 (" + comm + b")" + TAIL)
    assert stat is not None
    assert (stat.comm, stat.ppid, stat.start_ticks) == (comm, 7, 8800)


def test_captured_processes(captured: Path, specimen: dict[str, int]) -> None:
    awkward = pid_stat.read(str(captured), specimen["awkward"])
    assert awkward is not None
    assert (awkward.comm, awkward.ppid, awkward.threads) == (b"a) S 1 (b\nc", specimen["master"], 1)
    assert awkward.rss_pages == 2273
    threaded = pid_stat.read(str(captured), specimen["threaded"])
    assert threaded is not None
    assert threaded.threads == 2


def test_a_zombie_has_ended_and_has_no_memory(captured: Path, specimen: dict[str, int]) -> None:
    zombie = pid_stat.read(str(captured), specimen["zombie"])
    assert zombie is not None
    assert zombie.ended
    assert zombie.rss_pages is None


def test_a_leader_that_ended_before_its_threads_has_not() -> None:
    stat = pid_stat.parse(b"42 (x)" + TAIL.replace(b" S ", b" Z ", 1))
    assert stat is not None
    assert not stat.ended


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_short_read_is_unknown_not_wrong(cut: int) -> None:
    whole = pid_stat.parse(b"42 (php)" + TAIL)
    short = pid_stat.parse((b"42 (php)" + TAIL)[:cut])
    assert whole is not None
    assert short is None or short == whole


def test_late_fields_may_be_absent() -> None:
    head = b" ".join(TAIL.split()[:20])
    stat = pid_stat.parse(b"42 (php) " + head)
    assert stat is not None
    assert (stat.cpu_ticks, stat.rss_pages, stat.image) == (42, None, (None, None))


NUMBERS = st.integers(-5, 2**64).map(lambda n: str(n).encode()) | st.sampled_from([b"", b"x", b"9" * 40])


@given(st.lists(NUMBERS, max_size=30), st.binary(max_size=20))
def test_the_quick_way_and_the_careful_one_agree(numbers: list[bytes], comm: bytes) -> None:
    fields = [b"S", *numbers]
    quick = pid_stat._at_once(comm, fields)
    assert quick is None or quick == pid_stat._one_by_one(comm, fields)
