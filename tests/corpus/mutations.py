"""Damage to files, the same every time: what a broken disk, an interrupted writer or somebody malicious may leave."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

_NUMBER = re.compile(rb"-?\d+")
_HOSTILE = (
    b"0", b"-1", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"9" * 400, b"1e999", b"", b"+",
    b"\xb2",
)  # fmt: skip
_WORDS = (
    b"\n", b"\n\n", b"\0", b"\x1b[2J", b"\xff\xfe", b"\r\n", b"fn=", b"fl=(1) x\n", b"cfn=(1)\n", b"calls=1 0 0\n",
    b"events: a b\n", b"positions: instr line\n", b"* * *\n", b"summary: 1 1\n",
    b"//", b"==>", b"@1", b"{", b"}", b"[" * 50, b'"', b"a:9999999:{",
    b's:5:"', b"i:1;", b"TRACE END\n", b"\t", b"\t1\t", b"--- profile\n", b"Threshold-0-end: ", b"1 1 1 1 1 1 1 1 1 1\n",
)  # fmt: skip

_Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutations(sample: bytes, others: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """``count`` damaged versions of a sample, each damaged one to four times; ``others``: samples to take parts from."""
    chance = random.Random(seed)
    for _ in range(count):
        data = sample
        for _ in range(chance.randint(1, 4)):
            data = chance.choice(_MUTATIONS)(chance, data, others)
        yield data


def _flip(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x01"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _behead(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[chance.randint(0, min(len(data), 500)) :]


def _remove(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(chance, data)
    return data[:end] + data[start:end] * chance.randint(1, 20) + data[end:]


def _insert(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(_WORDS) + data[at:]


def _number(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    number = chance.choice(found)
    return data[: number.start()] + chance.choice(_HOSTILE) + data[number.end() :]


def _swap_lines(chance: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _splice(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    start, end = _part(chance, other)
    at = chance.randint(0, len(data))
    return data[:at] + other[start:end] + data[at:]


def _part(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.randint(1, 300))


_MUTATIONS: tuple[_Mutation, ...] = (
    _flip, _cut, _behead, _remove, _repeat, _insert, _number, _number, _swap_lines, _splice,
)  # fmt: skip
