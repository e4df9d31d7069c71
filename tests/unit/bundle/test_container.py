"""The file of a bundle: the same bytes for the same content, and nothing is believed of one from elsewhere."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from harness.bundle.container import MANIFEST, digest, extract, read_manifest, write
from harness.errors import RunError

DATA = b"SQLite" * 100
NAME = "run.sqlite"


def made(path: Path, *members: tuple[str, bytes]) -> Path:
    write(path, [(MANIFEST, b"{}"), *members])
    return path


def foreign(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """As any other program may write it."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members:
            info = name if isinstance(name, zipfile.ZipInfo) else regular(name)
            archive.writestr(info, content, packing)
    return path


def regular(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return info


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", (NAME, DATA), ("artifacts/profile-1.json", b"{}"))
    assert read_manifest(path) == b"{}"
    target = tmp_path / "out"
    target.mkdir()
    extract(path, target, {NAME: digest(DATA), "artifacts/profile-1.json": digest(b"{}")})
    assert (target / NAME).read_bytes() == DATA
    assert stat.S_IMODE((target / NAME).stat().st_mode) == 0o600
    assert sorted(p.name for p in target.rglob("*")) == ["artifacts", "profile-1.json", NAME]


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(DATA)
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    write(first, [(MANIFEST, b"{}"), (NAME, DATA)])
    os.utime(tmp_path / "db", (1, 1))
    write(second, [(MANIFEST, b"{}"), (NAME, tmp_path / "db")])
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(f"artifacts/profile-{number}.json", b"") for number in range(10_000)]
    with pytest.raises(RunError, match="10001 files with 0 MiB are too much for a bundle"):
        made(tmp_path / "a.zip", *many)
    (tmp_path / "db").write_bytes(DATA)
    monkeypatch.setattr("harness.bundle.container.MOST_BYTES", len(DATA) + 1)
    with pytest.raises(RunError, match="too much for a bundle"):
        write(tmp_path / "a.zip", [(MANIFEST, b"{}"), (NAME, tmp_path / "db")])
    assert not (tmp_path / "a.zip").exists()


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip")
    with pytest.raises(FileExistsError):
        made(path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "/etc/passwd", "artifacts/../../evil", "artifacts/profile-1.json/../x", "run.sqlite/", "run.sqlite\0.txt",
        "RUN.SQLITE",
        "artifacts\\profile-1.json", "C:run.sqlite", "logs/log-1.txt\n", "prescriptions/000/own.yaml", "", "run.sqlite-wal",
        "report.html",
    ],
)  # fmt: skip
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    path = foreign(tmp_path / "a.zip", (MANIFEST, b"{}"), (info, b"x"))
    with pytest.raises(RunError, match="not a bundle"):
        read_manifest(path)


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO):
        info = zipfile.ZipInfo(NAME)
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        path = foreign(tmp_path / f"{kind}.zip", (MANIFEST, b"{}"), (info, b"/etc/passwd"))
        with pytest.raises(RunError, match="link or no regular file"):
            read_manifest(path)


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = foreign(tmp_path / "a.zip", (MANIFEST, b"{}"), (NAME, b"x"), (NAME, b"y"))
    with pytest.raises(RunError, match="a name that no bundle has"):
        read_manifest(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(regular(MANIFEST), "{}")
        info = regular(NAME)
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as member:
            for _ in range(200):
                member.write(bytes(1 << 20))
    with pytest.raises(RunError, match="more than any run would"):
        read_manifest(path)


def test_sizes_are_claims(tmp_path: Path) -> None:
    """The directory says 10 bytes; the packed data holds more."""
    path = foreign(tmp_path / "a.zip", (MANIFEST, b"{}"), (NAME, DATA))
    raw = bytearray(path.read_bytes())
    at = raw.rindex(NAME.encode()) - 46
    struct.pack_into("<L", raw, at + 24, 10)
    path.write_bytes(raw)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(RunError, match=r"damaged|more than it says"):
        extract(path, target, {NAME: (10, digest(DATA)[1])})


def test_too_many_members_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    members = [(f"artifacts/profile-{n}.json", b"") for n in range(10_001)]
    path = foreign(tmp_path / "a.zip", (MANIFEST, b"{}"), *members)
    with pytest.raises(RunError, match="holds too much"):
        read_manifest(path)


def test_other_packings_and_passwords_are_refused(tmp_path: Path) -> None:
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = foreign(tmp_path / f"{packing}.zip", (MANIFEST, b"{}"), (NAME, DATA), packing=packing)
        with pytest.raises(RunError, match="packed in another way"):
            read_manifest(path)
    path = foreign(tmp_path / "secret.zip", (MANIFEST, b"{}"))
    raw = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + offset] |= 1
    path.write_bytes(raw)
    with pytest.raises(RunError, match="encrypted"):
        read_manifest(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file at all" * 10, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(RunError, match="not a bundle"):
        read_manifest(path)


def test_every_cut_and_every_changed_byte_is_an_error_of_the_file(tmp_path: Path) -> None:
    """Never a traceback, whatever is damaged; and what does come back is what was put in."""
    whole = made(tmp_path / "whole.zip", (NAME, DATA)).read_bytes()
    path, target = tmp_path / "a.zip", tmp_path / "out"
    target.mkdir()
    changed = [whole[:at] for at in range(0, len(whole), 7)]
    changed += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(len(whole))]
    refused = 0
    for content in changed:
        path.write_bytes(content)
        try:
            extract(path, target, {NAME: digest(DATA)})
            assert (target / NAME).read_bytes() == DATA
        except RunError:
            refused += 1
        (target / NAME).unlink(missing_ok=True)
    assert refused > len(changed) / 3  # times and the like may be anything


def test_members_that_the_manifest_does_not_name(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", (NAME, DATA))
    with pytest.raises(RunError, match="does not hold the members"):
        extract(path, tmp_path, {})
    with pytest.raises(RunError, match="is not what the manifest says"):
        extract(path, tmp_path, {NAME: digest(b"other")})


def test_a_directory_a_fifo_and_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nothing"):
        with pytest.raises(RunError):
            read_manifest(path)


def test_a_zip_with_something_before_or_behind_it(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.zip", (NAME, DATA)).read_bytes()
    for content in (b"#!/bin/sh\n" + whole, whole + b"more"):
        path = tmp_path / "a.zip"
        path.write_bytes(content)
        with pytest.raises(RunError, match="not a bundle"):
            read_manifest(path)
    assert zipfile.is_zipfile(io.BytesIO(whole))
