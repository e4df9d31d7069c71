"""What the sampler understands and says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.metric import CATALOGUE
from harness.sampling import heaps, protocol
from harness.sampling.outside.fast_lane import FastLane
from harness.sampling.protocol import (
    Depth,
    Fast,
    Floor,
    Identity,
    Match,
    MoreLines,
    ProtocolError,
    Root,
    Roots,
    Start,
    Stop,
    Tick,
    decode,
)
from harness.sampling.tree import MOST_PROCESSES


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
        (b'{"cmd":"floor","id":3,"depth":3}', Floor(3, Depth.TYPES)),
        (b'{"cmd":"fast","interval_ns":1000000}', Fast(1_000_000)),
        (b'{"cmd":"fast","interval_ns":null}', Fast(None)),
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
        b'{"cmd":"floor","id":1,"depth":4}',
        b'{"cmd":"fast","interval_ns":1000}',
        b'{"cmd":"fast"}',
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
    tick = Tick(1, 2, 3, 0, 5, None, [(Identity(7, 8), [None, 1])], {"system.meminfo.MemFree": 9})
    assert protocol.tick_line(tick) == (
        b'{"k":"tick","t":1,"end":2,"late":3,"missed":0,"cpu":5,"floor":null,"p":[[7,8,[null,1]]],'
        b'"s":{"system.meminfo.MemFree":9}}\n'
    )
    name = protocol.process_line(Identity(7, 8), 1, "a\\x0ab", "c\u2028", None, "app", 1, 2)
    assert name.count(b"\n") == 1
    assert name.isascii()


def test_the_largest_tick_fits_the_pipes_line() -> None:
    row = [2**36] * 6 + [2**30] * 11  # 64 GiB of PSS each, and the rest as large
    rows = [(Identity(4_190_000 + n, 10**9), row) for n in range(MOST_PROCESSES)]
    system = {f"system.buddyinfo.0.zone{n}.10": 10**9 for n in range(400)}
    tick = Tick(2**60, 2**60, 2**40, 9, 2**50, 1, rows, system)
    assert len(protocol.tick_line(tick)) < protocol.LINE_CAP_BYTES


def test_names_of_further_values_go_over_the_pipe_once() -> None:
    more = MoreLines()
    first = [
        json.loads(line) for line in more.lines(5, {Identity(7, 8): {"a": 1, "b": 2}, Identity(9, 8): {"a": 3, "b": 4}})
    ]
    assert first == [
        {"k": "names", "set": 0, "names": ["a", "b"]},
        {"k": "more", "t": 5, "x": [[7, 8, 0, [1, 2]], [9, 8, 0, [3, 4]]]},
    ]
    second = [json.loads(line) for line in more.lines(6, {Identity(7, 8): {"b": 2}, Identity(9, 8): {"a": 3, "b": 4}})]
    assert second == [
        {"k": "names", "set": 1, "names": ["b"]},
        {"k": "more", "t": 6, "x": [[7, 8, 1, [2]], [9, 8, 0, [3, 4]]]},
    ]


def test_further_values_of_very_many_processes_are_several_lines() -> None:
    names = [f"process.smaps.class{n}.anonymous" for n in range(300)]
    values = {Identity(4_190_000 + n, 10**9): dict.fromkeys(names, 2**40) for n in range(MOST_PROCESSES)}
    lines = MoreLines().lines(2**60, values)
    assert max(map(len, lines)) < protocol.LINE_CAP_BYTES
    assert sum(len(json.loads(line).get("x", [])) for line in lines) == MOST_PROCESSES


def test_the_longest_stretch_of_a_fast_lane_fits() -> None:
    lane = FastLane(3, heaps.FAST_CHANGES_OF_ALL, heaps.FAST_CHANGES_OF_ALL)
    lane.start(2**60)
    for n in range(heaps.FAST_CHANGES_OF_ALL):
        lane.add("one", 2**60 + 10**10 * n, (2**45 + n, 2**45 + n, 2**45))
    line = protocol.fast_line(Identity(7, 8), 2**60, lane.take(2**61)["one"])
    assert len(line) < protocol.LINE_CAP_BYTES
