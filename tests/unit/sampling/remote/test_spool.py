from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.remote.frames import Message, Splitter
from harness.sampling.remote.spool import Spool


def numbers(spool: Spool, after: int) -> list[int]:
    splitter = Splitter()
    found = [frame for _, piece in spool.after(after) for frame in splitter.feed(piece)]
    assert all(isinstance(frame, Message) and frame.line == b"%d" % frame.number * 9 for frame in found)
    return [frame.number for frame in found]


def fill(spool: Spool, count: int) -> None:
    for _ in range(count):
        number = spool.last + 1
        assert spool.add(b"sampler", b"%d" % number * 9) == number


def test_while_all_is_confirmed_nothing_is_written(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), memory_bytes=200)
    for _ in range(100):
        fill(spool, 1)
        spool.confirm(spool.last)
    assert spool.empty
    assert not list(tmp_path.iterdir())
    assert spool.most_stored == 0


def test_more_than_fits_into_memory_goes_to_disk_and_comes_back_in_order(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), memory_bytes=200)
    fill(spool, 100)
    assert len(list(tmp_path.iterdir())) > 5
    assert numbers(spool, 0) == list(range(1, 101))


@given(confirmed=st.integers(0, 60), after=st.integers(0, 60), more=st.integers(0, 40))
def test_any_part_of_it_can_be_confirmed_and_sent_again(
    tmp_path_factory: object, confirmed: int, after: int, more: int
) -> None:
    directory = tmp_path_factory.mktemp("spool")  # type: ignore[attr-defined]
    spool = Spool(str(directory), memory_bytes=150)
    fill(spool, 60)
    spool.confirm(confirmed)
    fill(spool, more)
    start = max(after, confirmed)
    assert numbers(spool, start) == list(range(start + 1, 61 + more))
    spool.confirm(60 + more)
    assert spool.empty
    assert not list(directory.iterdir())


def test_it_says_when_it_is_full_and_when_it_is_no_longer(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), memory_bytes=100, disk_bytes=1000)
    while not spool.full:
        fill(spool, 1)
    held = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 800 < held <= 1000 + 100
    spool.confirm(spool.last // 2)
    assert not spool.full
    fill(spool, 1)
    assert numbers(spool, spool.last - 1) == [spool.last]


def test_without_room_on_disk_it_keeps_in_memory_and_is_full(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "gone"), memory_bytes=100, disk_bytes=1000)
    fill(spool, 20)
    assert "No such file" in spool.trouble
    assert spool.full
    assert numbers(spool, 0) == list(range(1, 21))
    (tmp_path / "gone").mkdir()
    fill(spool, 1)
    assert not spool.full
    assert numbers(spool, 0) == list(range(1, 22))


def test_closing_leaves_no_file(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), memory_bytes=100)
    fill(spool, 50)
    spool.close()
    assert not list(tmp_path.iterdir())
