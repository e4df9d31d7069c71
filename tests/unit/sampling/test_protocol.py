"""What the sampler understands and says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.metric import CATALOGUE
from harness.sampling import protocol
from harness.sampling.protocol import Floor, Identity, Match, ProtocolError, Root, Roots, Start, Stop, decode


def test_start() -> None:
    line = (
        b'{"cmd":"start","host":"","proc":"/p","interval_ns":1000000000,"budget_percent":2.5,'
        b'"roots":[{"pid":7,"pool":"app"}],"exclude":[1,2],"later":true}'
    )
    assert decode(line) == Start("/p", 1_000_000_000, 2.5, (Root(7, "app"),), frozenset({1, 2}))


def test_start_with_what_it_may_leave_out() -> None:
    assert decode(b'{"cmd":"start","interval_ns":1000000}') == Start("/proc", 1_000_000, 1.0, (), frozenset())


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b'{"cmd":"roots","add":[{"pid":1,"pool":"a"},{"pid":2,"pool":"b"}]}', Roots((Root(1, "a"), Root(2, "b")))),
        (b'{"cmd":"match","pool":"app","text":"pool www"}', Match("app", "pool www")),
        (b'{"cmd":"floor","id":3}', Floor(3)),
        (b'{"cmd":"stop"}', Stop()),
    ],
)
def test_other_commands(line: bytes, command: object) -> None:
    assert decode(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b"{}",
        b"\xff",
        b'{"cmd":"dance"}',
        b'{"cmd":"start"}',
        b'{"cmd":"start","interval_ns":0}',
        b'{"cmd":"start","interval_ns":true}',
        b'{"cmd":"start","interval_ns":1000000000,"roots":[{"pid":0,"pool":"a"}]}',
        b'{"cmd":"start","interval_ns":1000000000,"proc":3}',
        b'{"cmd":"roots","add":[{"pid":"7","pool":"a"}]}',
        b'{"cmd":"match","pool":"a","text":""}',
        b'{"cmd":"floor"}',
        b"[" * 100_000,
    ],
)
def test_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["cmd", "pid", "pool", "add", "id", "text", "roots"]), inner, max_size=4)),
       st.sampled_from(["start", "roots", "match", "floor", "stop"]))  # fmt: skip
def test_any_message_is_a_command_or_refused(value: object, kind: str) -> None:
    message = {**value, "cmd": kind} if isinstance(value, dict) else value
    try:
        decode(json.dumps(message).encode())
    except ProtocolError:
        return


def test_columns_are_metrics_of_the_catalogue() -> None:
    in_catalogue = {name for name in CATALOGUE if name.startswith("process.")}
    assert set(protocol.COLUMNS) == in_catalogue
    assert len(set(protocol.COLUMNS)) == len(protocol.COLUMNS)


def test_lines_are_single_and_compact() -> None:
    line = protocol.tick_line(1, 2, 3, 0, 5, None, [(Identity(7, 8), [None, 1])], {"system.meminfo.MemFree": 9})
    assert line == (
        b'{"k":"tick","t":1,"end":2,"late":3,"missed":0,"cpu":5,"floor":null,"p":[[7,8,[null,1]]],'
        b'"s":{"system.meminfo.MemFree":9}}\n'
    )
    name = protocol.process_line(Identity(7, 8), 1, "a\\x0ab", "c\u2028", None, "app", 1, 2)
    assert name.count(b"\n") == 1
    assert name.isascii()


def test_the_largest_tick_fits_the_pipes_line() -> None:
    from harness.sampling.tree import MOST_PROCESSES

    row = [2**36] * 6 + [2**30] * 10  # 64 GiB of PSS each, and the rest as large
    rows = [(Identity(4_190_000 + n, 10**9), row) for n in range(MOST_PROCESSES)]
    system = {f"system.buddyinfo.0.zone{n}.10": 10**9 for n in range(400)}
    assert len(protocol.tick_line(2**60, 2**60, 2**40, 9, 2**50, 1, rows, system)) < 1 << 20
