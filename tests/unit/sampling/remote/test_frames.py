from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.remote import frames
from harness.sampling.remote.frames import Ack, FrameError, Hello, Message, Over, Ping, Pong, Splitter

ALL = [
    (frames.hello(0), Hello(0)),
    (frames.ack(17), Ack(17)),
    (frames.ping(3), Ping(3)),
    (frames.pong(3, 10**18, 1_700_000_000 * 10**9), Pong(3, 10**18, 1_700_000_000 * 10**9)),
    (frames.message(5, b"sampler", b'{"k": "tick"}'), Message(5, b"sampler", b'{"k": "tick"}')),
    (frames.message(6, b"-", b""), Message(6, b"-", b"")),
    (frames.OVER, Over()),
]


@pytest.mark.parametrize("cut", range(1, 40))
def test_frames_come_back_however_they_are_cut(cut: int) -> None:
    data = b"".join(frame for frame, _ in ALL)
    splitter = Splitter()
    found = [frame for at in range(0, len(data), cut) for frame in splitter.feed(data[at : at + cut])]
    assert found == [meant for _, meant in ALL]


@given(st.binary(max_size=60).filter(lambda line: b"\n" not in line))
def test_anything_else_is_refused(line: bytes) -> None:
    try:
        frames.parse(line)
    except FrameError:
        return
    assert line[:1] in b"HMAPQX"


@pytest.mark.parametrize("line", [b"H", b"H -1", b"H 1_0", b"M 1", b"M x sampler {}", b"Q 1 2", b"A " + b"9" * 21, b""])
def test_half_a_frame_is_refused(line: bytes) -> None:
    with pytest.raises(FrameError):
        frames.parse(line)


def test_a_frame_without_an_end_is_refused() -> None:
    with pytest.raises(FrameError):
        list(Splitter().feed(b"M" * (frames.LONGEST_BYTES + 1)))


@pytest.mark.parametrize("line", [b"two\nlines", b"x" * frames.LONGEST_BYTES])
def test_what_is_no_line_cannot_be_sent(line: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        frames.message(1, b"sampler", line)
