"""Files in chunks, plain and packed, whole, cut and damaged."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.formats.unpacking import unpacked

TEXT = b"".join(b"%d\n" % n for n in range(400_000))
CAP = 64 << 20


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_contents_come_in_chunks_whatever_the_name(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack(TEXT))
    chunks = list(unpacked(path, CAP))
    assert b"".join(chunks) == TEXT
    assert max(map(len, chunks)) <= 1 << 20
    path.write_bytes(b"")
    assert list(unpacked(path, CAP)) == []


def test_a_cut_or_damaged_archive_gives_what_is_before(tmp_path: Path) -> None:
    path, packed = tmp_path / "x", gzip.compress(TEXT)
    for length in (2, 10, 11, 1000, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:length])
        assert TEXT.startswith(b"".join(unpacked(path, CAP)))
    for seed in range(20):
        damaged = bytearray(packed)
        damaged[random.Random(seed).randrange(len(packed))] ^= 0x55
        path.write_bytes(bytes(damaged))
        assert len(b"".join(unpacked(path, CAP))) <= CAP
    path.write_bytes(packed + b"what comes after the archive is not read")
    assert b"".join(unpacked(path, CAP)) == TEXT


def test_more_than_the_cap_is_refused_before_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(b"x" * (8 << 20)))
    chunks = unpacked(path, 4 << 20)
    assert [len(next(chunks)) for _ in range(4)] == [1 << 20] * 4
    with pytest.raises(ValueError, match="unpacks to more than 4 MiB"):
        next(chunks)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        list(unpacked(tmp_path / "none", CAP))
