"""Values packed into chunks come back exactly: through the arrays and through SQLite's own functions."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.store.chunk import INT64_MAX, INT64_MIN, LONGEST, ROW_BYTES, Chunk, pack
from harness.store.schema import SCHEMA
from harness.store.unpack import Ticks, unpack

INT64 = st.integers(INT64_MIN, INT64_MAX)
VALUES = st.one_of(
    st.lists(INT64, min_size=1, max_size=60),
    st.lists(st.integers(0, 3), min_size=1, max_size=300),
    st.lists(st.integers(-60_000, 60_000), min_size=1, max_size=60),
    st.lists(st.sampled_from([0, 1, 94, 95, 1982, 1983, 55_230, 55_231, 95**2, 95**5 - 1, 95**5, 10**18]), min_size=1),
)
SHAPES = st.tuples(INT64, st.sampled_from([0, 1, 7, 4096, -(10**9), 1 << 50, 1 << 62]), st.sampled_from([1, 16, 4096]))
GAPS = st.lists(st.one_of(st.just(1), st.integers(1, 9), st.sampled_from([40_000, 60_000, 1 << 35])), max_size=300)


def clamped(number: int) -> int:
    return max(INT64_MIN, min(INT64_MAX, number))


def through_sql(chunks: list[Chunk], ticks: list[int]) -> list[tuple[int, int]]:
    with sqlite3.connect(":memory:") as db:
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO tick VALUES (?,?)", [(tick, tick * 10) for tick in ticks])
        db.executemany("INSERT INTO chunk VALUES (9,?,?,?,?,?,?,?,?,?)", chunks)
        found = db.execute("SELECT t_ns, value FROM sample WHERE series_id = 9 ORDER BY t_ns").fetchall()
    db.close()
    return found


def through_arrays(chunks: list[Chunk]) -> list[tuple[int, int]]:
    ticks, values = unpack(chunks)
    return list(zip((ticks * 10).tolist(), values.tolist(), strict=True))


@given(VALUES, SHAPES, GAPS)
@example([0, 1], (INT64_MIN, 1 << 62, 1), [])
@example([0, INT64_MAX, INT64_MIN, INT64_MIN, INT64_MAX], (0, 0, 1), [])
@example([0], (5, 1, 1), [])
def test_any_values_at_any_ticks_come_back(noise: list[int], shape: tuple[int, int, int], gaps: list[int]) -> None:
    base, step, scale = shape
    values = [clamped(base + step * i + scale * number) for i, number in enumerate(noise)]
    ticks = [3]
    for i in range(1, len(values)):
        ticks.append(ticks[-1] + (gaps[i % len(gaps)] if gaps else 1))
    expected = [(tick * 10, value) for tick, value in zip(ticks, values, strict=True)]
    chunks = pack(ticks, values)
    assert sum(chunk.n for chunk in chunks) == len(values)
    assert through_arrays(chunks) == expected
    assert through_sql(chunks, ticks) == expected


@pytest.mark.parametrize(
    ("values", "most_bytes"),
    [
        ([7] * 128, 0),
        ([4096 * i for i in range(128)], 0),  # a steady counter
        ([10**9 + 4096 * (i % 3) for i in range(128)], 128),
        ([5] * 127 + [10**12], 128),
        ([1_000 * i + (i * 7919) % 90 for i in range(128)], 128),
        ([0] * 64 + [(i * 7919) % 90 for i in range(64)], 64 + ROW_BYTES),  # only the busy half costs anything
    ],
)
def test_what_a_chunk_costs(values: list[int], most_bytes: int) -> None:
    chunks = pack(range(128), values)
    text = sum(len((chunk.text or "").encode()) for chunk in chunks)
    assert text + ROW_BYTES * (len(chunks) - 1) <= most_bytes


def test_text_of_chunks_has_no_control_characters() -> None:
    codes = [*range(3_000), 55_230]
    texts = [chunk.text or "" for i in range(0, len(codes), 50) for chunk in pack(range(50), codes[i : i + 50])]
    texts += [chunk.text or "" for chunk in pack(range(51), [0] * 50 + [55_230])]
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for text in texts for c in text)


@pytest.mark.parametrize(("first", "second"), [([4, 4, 4], [4, 4]), ([1, 3, 5], [7, 9]), ([1, 3], [5]), ([8], [8, 8])])
def test_what_goes_on_unchanged_is_one_row(first: list[int], second: list[int]) -> None:
    n = len(first)
    ticks = range(10, 10 + n + len(second))
    (left,), (right,) = pack(ticks[:n], first), pack(ticks[n:], second)
    joined = left.joined(right)
    assert joined is not None
    assert joined.n == len(ticks)
    assert [value for _, value in through_arrays([joined])] == first + second


@pytest.mark.parametrize(
    ("ticks", "values"),
    [
        ((0, 1, 3), (4, 4, 4)),
        ((0, 1, 2), (4, 4, 5)),
        ((0, 2, 3), (4, 4, 4)),
        ((0, 1, 2), (INT64_MAX - 1, INT64_MAX, INT64_MAX)),
    ],
)
def test_what_does_not_go_on_unchanged_is_not_joined(ticks: tuple[int, ...], values: tuple[int, ...]) -> None:
    left, right = pack(ticks[:2], values[:2])[0], pack(ticks[2:], values[2:])[0]
    assert left.joined(right) is None


def test_no_chunk_grows_beyond_what_the_view_can_count() -> None:
    full = Chunk(0, 1, None, LONGEST, 4, 0, 0, 0, None)
    assert full.joined(Chunk(LONGEST, 1, None, 1, 4, 0, 0, 0, None)) is None


@pytest.mark.parametrize(
    "row",
    [
        Chunk(0, 1, None, 0, 4, 0, 0, 0, None),
        Chunk(0, 1, None, 10**12, 4, 0, 0, 0, None),
        Chunk(0, 1, None, 3, 4, 0, 1, 1, "ab"),
        Chunk(0, 1, None, 2, 4, 0, 1, 2, "abc"),
        Chunk(0, 1, None, 2, 4, 0, 1, 40, "1" * 80),
        Chunk(0, 0, None, 2, 4, 0, 0, 0, None),
        Chunk(0, 1, "a", 2, 4, 0, 0, 0, None),
    ],
)
def test_rows_that_no_recorder_writes_are_refused(row: Chunk) -> None:
    with pytest.raises(ValueError, match=r"chunk|order"):
        unpack([row])


def test_times_of_even_ticks_share_the_memory_of_the_lane() -> None:
    lane = Ticks(100, np.arange(0, 1000, 10))
    for ticks in ([100, 101, 102], [105, 110, 115], [103], [100, 101, 103]):
        assert lane.at(np.array(ticks)).tolist() == [(tick - 100) * 10 for tick in ticks]
    assert np.shares_memory(lane.at(np.array([105, 110, 115])), lane.t_ns)
    for outside in ([99, 100], [199, 200]):
        with pytest.raises(ValueError, match="not all in the run"):
            lane.at(np.array(outside))
