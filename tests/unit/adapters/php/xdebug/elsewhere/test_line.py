"""A shell at the other end of pipes, greeting, lying, stopping and never ending."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.php.xdebug.elsewhere.line import Line, LineError
from harness.clock import FakeClock, SystemClock

READY = 'printf "%s 0 ready\\n" "$token"\n'
ECHO = READY + 'while read -r n words; do eval "$words"; printf \'%s %s end\\n\' "$token" "$n"; done\n'


class HastyClock(SystemClock):
    """Each look at it takes ten seconds, so that waits are over soon."""

    def __init__(self) -> None:
        self._passed_ns = 0

    def monotonic_ns(self) -> int:
        self._passed_ns += 10_000_000_000
        return super().monotonic_ns() + self._passed_ns


def line(*argv: str, script: str = ECHO) -> Line:
    return Line(argv or ("sh",), script, {"odd": "a'b\nc $(id) \\"}, SystemClock())


def test_it_answers_in_words_and_data() -> None:
    asked = line()
    said = "printf '%s %s one two\\n' $token $n; printf '%s %s data\\n' $token $n; printf 'a\\nb' | gzip -c"
    answer = asked.ask(said, seconds=10, cap_bytes=3)
    assert answer.lines == (("one", "two"),)
    assert answer.of("one") == ("two",)
    assert not answer.has("two")
    assert answer.data == b"a\nb"
    assert asked.ask("true", seconds=10).lines == ()
    asked.close()
    assert not asked.is_open


def test_variables_arrive_as_they_are(tmp_path: Path) -> None:
    asked = line()
    asked.ask(f'printf %s "$odd" >{tmp_path}/odd', seconds=10)
    asked.close()
    assert (tmp_path / "odd").read_text() == "a'b\nc $(id) \\"


@pytest.mark.parametrize(
    "greeting",
    [
        "echo 'Welcome to staging'",
        "printf 'no line feed'",
        "head -c 100000 /dev/urandom",
        "echo loud >&2",
        "seq 20000 >&2",
    ],
)
def test_greetings_are_skipped(greeting: str) -> None:
    asked = line("sh", "-c", f"{greeting}; exec sh")
    assert asked.ask("true", seconds=10).lines == ()
    asked.close()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("sh", "-c", "cat /dev/zero"), "greeting without an end"),
        (("sh", "-c", "exit 3"), "without a word"),
        (("sh", "-c", "echo 'Host key verification failed.' >&2; exit 255"), "Host key verification failed"),
        (("sh", "-c", "printf 'a\\033[31mb\\n' >&2; exit 1"), r"a\?\[31mb"),
        (("/nonexistent",), "No such file"),
    ],
)  # fmt: skip
def test_what_never_answers_is_told(argv: tuple[str, ...], why: str) -> None:
    with pytest.raises(LineError, match=why):
        line(*argv)


def test_silence_has_an_end() -> None:
    with pytest.raises(LineError, match="no answer in time"):
        Line(("sleep", "1000"), ECHO, {}, HastyClock())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("echo something else", "not the script"),
        ("printf '%s 99 x\\n' $token", "not the script"),
        ("printf '%s %s data\\nno gzip at all' $token $n", "damaged"),
        ("printf '%s %s data\\n' $token $n; printf abc | gzip -c | head -c 15; exit", "connection ended"),
        ("printf '%s %s data\\n' $token $n; head -c 1000 /dev/zero | gzip -c", "more than the 100 bytes"),
        ("printf '%s %s data\\n' $token $n; gzip -c </dev/zero", "more than the 100 bytes"),
        ("cat /dev/zero", "not the script"),
        ("while :; do printf '%s %s x\\n' $token $n; done", "without an end"),
        ("exit", "connection ended"),
        ("echo killed >&2; kill -9 $$", "killed"),
    ],
)
def test_an_answer_that_is_none_ends_the_line(words: str, why: str) -> None:
    asked = line()
    with pytest.raises(LineError, match=why):
        asked.ask(words, seconds=10, cap_bytes=100)
    assert not asked.is_open
    with pytest.raises(LineError, match="closed"):
        asked.ask("true", seconds=10)


def test_pieces_can_be_taken() -> None:
    asked, pieces = line(), list[bytes]()
    words = "printf '%s %s data\\n' $token $n; head -c 3000000 /dev/zero | gzip -c"
    answer = asked.ask(words, seconds=10, cap_bytes=3_000_000, take=pieces.append)
    asked.close()
    assert answer.data == b""
    assert b"".join(pieces) == bytes(3_000_000)
    assert max(map(len, pieces)) <= 1 << 20


class Played(Line):
    """A line whose other end was recorded."""

    def __init__(self, heard: bytes) -> None:
        self._clock, self._token, self._number, self._buffer = FakeClock(), "T" * 32, 1, heard
        self._pieces = iter(())

    def _read(self, deadline_ns: int) -> None:
        raise LineError("the end")


WHOLE = b"".join(
    (b"T" * 32 + b" 1 file a b\n", b"T" * 32 + b" 1 data\n", gzip.compress(b"content"), b"T" * 32 + b" 1 end\n")
)


def test_an_answer_cut_anywhere_is_no_answer() -> None:
    assert Played(WHOLE)._answer(0, 100, None).data == b"content"
    for cut in range(len(WHOLE)):
        with pytest.raises(LineError):
            Played(WHOLE[:cut])._answer(0, 100, None)


@settings(max_examples=200, deadline=None)
@given(junk=st.binary(max_size=300), at=st.integers(0, len(WHOLE)))
def test_junk_never_does_more_than_end_the_line(junk: bytes, at: int) -> None:
    try:
        answer = Played(WHOLE[:at] + junk + WHOLE[at:])._answer(0, 100, None)
    except LineError:
        return
    assert len(answer.data) <= 100
