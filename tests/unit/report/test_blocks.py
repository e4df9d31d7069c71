"""The encoding of columns, read back by an independent reader written from its description."""

from __future__ import annotations

import numpy as np
from block_reader import read
from hypothesis import given
from hypothesis import strategies as st

from harness.report.page.blocks import Block, varint, zigzag


@given(st.lists(st.lists(st.integers(-(2**52), 2**52), max_size=50), max_size=4))
def test_what_goes_in_comes_out(columns: list[list[int]]) -> None:
    block = Block()
    numbers = [block.column(c) for c in columns]
    assert numbers == list(range(len(columns)))
    assert read(block.encode({"a": "é<"})) == ({"a": "é<"}, columns)


def test_values_no_page_could_hold_stay_at_the_limit() -> None:
    block = Block()
    block.column([2**63 - 1, -(2**63), 0])
    assert read(block.encode({}))[1] == [[2**52, -(2**52), 0]]


def test_small_magnitudes_take_one_byte() -> None:
    assert zigzag(np.array([0, -1, 1, -2, 63])).tolist() == [0, 1, 2, 3, 126]
    assert varint(np.array([0, 127, 128, 300], dtype=np.uint64)) == b"\x00\x7f\x80\x01\xac\x02"


def test_same_columns_same_text() -> None:
    texts = set()
    for _ in range(2):
        block = Block()
        block.column([1, 5, 9])
        texts.add(block.encode({"x": 1}))
    assert len(texts) == 1
