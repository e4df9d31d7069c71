"""A file that is made in pieces."""

from __future__ import annotations

import gzip

from harness.report.sink import Sink


def test_it_gives_out_what_was_written_and_keeps_its_place() -> None:
    sink = Sink()
    assert sink.writable()
    assert sink.write(b"abc") == 3
    assert sink.write(memoryview(b"defg")) == 4
    assert sink.taken() == b"abcdefg"
    assert sink.taken() == b""
    sink.write(b"h")
    assert sink.tell() == 8
    assert sink.taken() == b"h"


def test_a_packer_can_write_to_it() -> None:
    sink = Sink()
    with gzip.GzipFile("", "wb", 6, sink, mtime=0) as packer:
        packer.write(b"x" * 100_000)
    assert gzip.decompress(sink.taken()) == b"x" * 100_000
