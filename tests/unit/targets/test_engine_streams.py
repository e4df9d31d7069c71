"""One command to its end: whatever it says, and however much."""

from __future__ import annotations

import sys

import pytest

from harness.targets.engines.api import _frames
from harness.targets.engines.spec import EngineError
from harness.targets.engines.streams import run


def python(text: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", text]


def test_both_streams_and_the_code() -> None:
    ran = run(
        python("import sys; sys.stderr.write('no'); print(sys.stdin.read()[::-1]); sys.exit(3)"),
        b"abc", cap_bytes=100, timeout_s=60,
    )  # fmt: skip
    assert (ran.code, ran.output, ran.errors) == (3, b"cba\n", b"no")


def test_a_flood_is_cut_and_does_not_stop_it() -> None:
    flood = "import sys\nfor s in (sys.stdout, sys.stderr):\n  s.write('x' * 3000000)\n"
    ran = run(python(flood), b"", cap_bytes=1000, timeout_s=60)
    assert (ran.code, len(ran.output), len(ran.errors)) == (0, 1000, 1000)


def test_enough_is_enough() -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)\n"
    ran = run(python(endless), b"", cap_bytes=1000, timeout_s=60, enough=True)
    assert (ran.code, len(ran.output)) == (-9, 1000)


def test_much_is_given_to_who_does_not_read() -> None:
    assert run(python("print(1)"), b"x" * 3_000_000, cap_bytes=10, timeout_s=60).output == b"1\n"


def test_who_does_not_end_is_ended() -> None:
    with pytest.raises(EngineError, match="did not end within"):
        run(python("import time; time.sleep(600)"), b"", cap_bytes=10, timeout_s=0.2)


def test_what_is_not_there() -> None:
    with pytest.raises(EngineError, match="cannot start"):
        run(["/nonexistent/engine"], b"", cap_bytes=10, timeout_s=5)


def test_frames_of_the_api() -> None:
    """Docker Engine API, ContainerAttach: stream, three zero bytes, size."""
    data = (
        b"\x01\0\0\0\0\0\0\x03abc" + b"\x02\0\0\0\0\0\0\x02no" + b"\x01\0\0\0\0\0\0\x01d" + b"\x01\0\0\0\0\0\0\x09cut"
    )
    assert _frames(data) == (b"abcdcut", b"no")
    assert _frames(b"\x01\0\0") == (b"", b"")
