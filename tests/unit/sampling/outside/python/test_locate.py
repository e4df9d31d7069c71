"""Which CPython it is."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_dump import DumpedProcess

from harness.sampling.outside.python import locate


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"\0\x013.9.18 (main, Aug 27 2024, 12:00:00) \n[GCC 12.2.0]\0", "3.9.18"),
        (b"3.8.18 (default, Jan  1 2024, 01:02:03) \n", "3.8.18"),
        (b"x\0003.10.0rc2+ (heads/3.10:abc, Jan  1 2024) ", "3.10.0rc2+"),
        (b"3.9.2 (default", ""),
        (b"13.9.2 (default)", ""),
        (b"v3.9.2 (default)", ""),
        (b"", ""),
    ],
)
def test_version_in_the_data(data: bytes, version: str) -> None:
    assert locate.version_text(data) == version


@given(st.binary())
def test_no_data_makes_it_fail(data: bytes) -> None:
    locate.version_text(data)


@pytest.mark.parametrize(
    ("number", "version"),
    [(0x030B07F0, "3.11.7"), (0x030D00A1, "3.13.0a1"), (0x030E00C3, "3.14.0rc3"), (0x030C01B0, "3.12.1b0")],
)
def test_version_number(number: int, version: str) -> None:
    assert locate.version_number(number) == version


def test_of_a_real_one(dumped_python: DumpedProcess) -> None:
    found = locate.find(dumped_python)
    assert found is not None
    assert found.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert found.minor == sys.hexversion >> 16
    assert found.image.contains(found.runtime)


def test_the_data_of_a_real_one_tells_the_same(dumped_python: DumpedProcess) -> None:
    """The way for 3.8 to 3.10, which do not export their version."""
    found = locate.find(dumped_python)
    assert found is not None
    assert locate.version_text(b"\0".join(locate._data(dumped_python.memory, found.image))) == found.version
