"""/proc/PID/cmdline."""

from __future__ import annotations

import pytest

from harness.sampling.sources import pid_cmdline


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (b"php\0-S\x00127.0.0.1:1\0", ("php", "-S", "127.0.0.1:1")),
        (b"php-fpm: pool www\0\0\0\0\0", ("php-fpm: pool www",)),
        (b"gunicorn: master [shop]     ", ("gunicorn: master [shop]",)),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"\xff\xfe\0", ("��",)),
        (b"", ()),
        (b"\0\0", ()),
    ],
)
def test_parse(data: bytes, arguments: tuple[str, ...]) -> None:
    assert pid_cmdline.parse(data) == arguments
