"""Archives that an engine hands out: read up to their first entry, whatever stands in them. Real ones: test_containers.py."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath

import pytest

from harness.errors import TargetError
from harness.targets.connectors.container import ContainerConnector
from harness.targets.engines.api import ApiEngine

FILE = tarfile.TarInfo("f")
FILE.size = 5
PLAIN = FILE.tobuf() + b"hello".ljust(512, b"\0")


def pax(record: bytes) -> bytes:
    """An extended header in front of the file."""
    header = tarfile.TarInfo("h")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    return header.tobuf(tarfile.USTAR_FORMAT) + record + b"\0" * (-len(record) % 512) + PLAIN


def entry(kind: bytes, name: str = "f", link: str = "") -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made.tobuf()


def get(archive: bytes, cap_bytes: int = 100) -> bytes | None:
    class Engine(ApiEngine):
        def archive(self, name: str, path: str, cap_bytes: int) -> bytes:
            return archive[:cap_bytes]

    return ContainerConnector(Engine("/nowhere"), "shop", {}).get(PurePosixPath("/tmp/f"), cap_bytes)


def test_a_file() -> None:
    assert get(PLAIN) == b"hello"


@pytest.mark.parametrize(
    "archive",
    [b"", entry(tarfile.SYMTYPE, link="/etc/passwd"), entry(tarfile.LNKTYPE, link="/etc/passwd"), entry(tarfile.DIRTYPE),
     entry(tarfile.CHRTYPE), entry(tarfile.FIFOTYPE), FILE.tobuf().replace(b"f", b"../f", 1)],
)  # fmt: skip
def test_what_is_not_that_file_is_none(archive: bytes) -> None:
    try:
        assert get(archive) is None
    except TargetError as error:
        assert "is no archive" in error.message  # noqa: PT017  # one of the two


@pytest.mark.parametrize(
    "archive",
    [b"hello", pax(b"20 GNU.sparse.map=x\n"), pax(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
     PLAIN[:300], PLAIN[:514]],
)  # fmt: skip
def test_what_is_no_archive_is_an_error_with_words(archive: bytes) -> None:
    with pytest.raises(TargetError, match=r"is no archive|did not come whole"):
        get(archive)


def test_a_long_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(TargetError, match="longer than 4 bytes"):
        get(PLAIN, 4)
