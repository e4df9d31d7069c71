"""/proc/PID/maps."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.outside import mappings
from harness.sampling.outside.mappings import Mapping

CAPTURED = b"""\
00400000-00b2a000 r-xp 00000000 fe:00 123456                             /usr/bin/php8.2
01a4f000-01d3c000 rw-p 00000000 00:00 0                                  [heap]
7f1c38000000-7f1c38021000 rw-p 00000000 00:00 0\x20
7f1c3a000000-7f1c3a021000 rw-p 00000000 00:00 0                          [anon: glibc: malloc arena]
7f1c3b000000-7f1c3b001000 rw-s 00000000 00:01 2048                       /dev/zero (deleted)
7ffd1b5ac000-7ffd1b5cd000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def test_captured() -> None:
    found = mappings.parse(CAPTURED)
    assert len(found) == 7
    assert found[0] == Mapping(0x400000, 0xB2A000, "r-xp", 0, "/usr/bin/php8.2")
    assert found[0].size == 0x72A000
    assert found[4].path == "/dev/zero (deleted)"
    assert found[6].end == 0xFFFFFFFFFF601000


def test_what_is_private_and_anonymous() -> None:
    assert [m.start for m in mappings.parse(CAPTURED) if m.private_anonymous] == [
        0x1A4F000,
        0x7F1C38000000,
        0x7F1C3A000000,
    ]


def test_paths_are_taken_whole_and_bytes_that_are_no_text_replaced() -> None:
    (found,) = mappings.parse(b"1000-2000 r--p 00003000 fe:00 7    /srv/a b/\\012x\xff.so\n")
    assert found == Mapping(0x1000, 0x2000, "r--p", 0x3000, "/srv/a b/\\012x\ufffd.so")


@given(st.binary(max_size=300))
def test_garbage_is_left_out(data: bytes) -> None:
    assert mappings.parse(data + b"\n1000-2000 r--p 0 0:0 0 ")[-1].start == 0x1000


def test_of_this_process() -> None:
    found = mappings.read("/proc", os.getpid())
    assert found == sorted(found)
    here = id(found)
    assert any(m.start <= here < m.end and m.private_anonymous for m in found)
