"""The file itself: a zip whose members have names from a short list. Other programs open it, and issue trackers take it.

The same members give the same bytes: no times, no owners, members in the order given. Reading trusts nothing: neither names nor
sizes nor counts; a link, a path or a member that unpacks to more than it says is refused before anything else of it is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import RunError, one_line

MANIFEST = "manifest.json"
ENDING = ".harness.zip"
MOST_MEMBERS = 10_000
MOST_BYTES = 4 << 30  # unpacked, all together
_MANIFEST_BYTES = 4 << 20
_DIRECTORY_BYTES = 4 << 20
_MOST_RATIO = 500  # of a member above `_RATIO_FROM`; the most repetitive database packs to a hundredth
_RATIO_FROM = 64 << 20
_NAMES = re.compile(
    r"manifest\.json|run\.sqlite|artifacts/profile-\d{1,6}\.json|logs/log-\d{1,6}\.txt|prescriptions/\d{3}/\d{3}\.yaml"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_ZIP64 = b"PK\x06\x07"


def write(path: Path, members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write the members in order to a new file that only its owner can read. Raises RunError for more than `extract` would take;
    OSError passes through."""
    members = list(members)
    size = sum(len(content) if isinstance(content, bytes) else content.stat().st_size for _, content in members)
    if len(members) > MOST_MEMBERS or size > MOST_BYTES:
        raise RunError(
            f"{len(members)} files with {size >> 20} MiB are too much for a bundle",
            hint=f"it holds {MOST_MEMBERS} files with {MOST_BYTES >> 20} MiB; leave out --with-logs, or record a shorter run",
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members:
            if not _NAMES.fullmatch(name):
                raise AssertionError(f"{name}: no name of a member")
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr, info.compress_type = (
                3,
                (stat.S_IFREG | 0o600) << 16,
                zipfile.ZIP_DEFLATED,
            )
            with archive.open(info, "w") as target:
                for piece in (content,) if isinstance(content, bytes) else _pieces(content):
                    target.write(piece)


def digest(content: Path | bytes) -> tuple[int, str]:
    """Size in bytes and SHA-256."""
    sha, size = hashlib.sha256(), 0
    for piece in (content,) if isinstance(content, bytes) else _pieces(content):
        sha.update(piece)
        size += len(piece)
    return size, sha.hexdigest()


def _pieces(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def read_manifest(path: Path) -> bytes:
    """The manifest's bytes, without unpacking anything else. Raises RunError."""
    with _Archive(path) as archive:
        return archive.read(MANIFEST, _MANIFEST_BYTES)


def extract(path: Path, directory: Path, expected: Mapping[str, tuple[int, str]]) -> None:
    """Unpack all members but the manifest below a directory that is ours alone; ``expected``: by name, size and SHA-256, as the
    manifest has them. Raises RunError for what is not exactly that; OSError passes through."""
    with _Archive(path) as archive:
        if archive.names - {MANIFEST} != set(expected):
            raise RunError(f"{path}: does not hold the members that its manifest names")
        for name in sorted(expected):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if archive.copy(name, target) != expected[name]:
                raise RunError(f"{path}: {name} is not what the manifest says: the file is damaged")


class _Archive:
    """A file from anybody, opened. Raises RunError for what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = MOST_BYTES
        try:
            self._file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115  # closed by exit
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self._check_end()
            self._zip = zipfile.ZipFile(self._file)
            self._members = self._checked(self._zip.infolist())
        except (
            zipfile.BadZipFile,
            ValueError,
            NotImplementedError,
            OSError,
            UnicodeDecodeError,
            struct.error,
        ) as error:
            self._file.close()
            raise RunError(
                f"{path}: not a bundle: {one_line(error)}", hint="name a file that `harness bundle` made"
            ) from error
        except RunError:
            self._file.close()
            raise

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> set[str]:
        return set(self._members)

    def _check_end(self) -> None:
        """Before a library reads the directory: that there is one, that it is small, and that nothing follows it."""
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        size = self._file.seek(0, os.SEEK_END)
        at = size - _END.size
        self._file.seek(max(0, at - 20))
        end = self._file.read()
        if at < 0 or not end[-_END.size :].startswith(b"PK\x05\x06"):
            raise ValueError("it is no zip file, or its end is missing")
        _, disk, start, here, members, length, offset, comment = _END.unpack(end[-_END.size :])
        if end[: -_END.size].startswith(_ZIP64) or members > MOST_MEMBERS or length > _DIRECTORY_BYTES:
            raise ValueError("it holds too much")
        if disk or start or here != members or comment or offset + length != at:
            raise ValueError("its directory is damaged")

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            mode = info.external_attr >> 16
            if not _NAMES.fullmatch(info.filename) or info.filename in found or info.orig_filename != info.filename:
                raise ValueError("a member has a name that no bundle has")
            if info.flag_bits & 0x41 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("a member is encrypted or packed in another way")
            if mode and not stat.S_ISREG(mode):
                raise ValueError("a member is a link or no regular file")
            if info.file_size > max(_RATIO_FROM, _MOST_RATIO * info.compress_size):
                raise ValueError("a member unpacks to more than any run would")
            found[info.filename] = info
        if sum(info.file_size for info in found.values()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GiB")
        if MANIFEST not in found:
            raise ValueError(f"it has no {MANIFEST}")
        return found

    def read(self, name: str, most: int) -> bytes:
        """A small member. Raises RunError when it has more than ``most`` bytes."""
        return b"".join(self._unpacked(name, most))

    def copy(self, name: str, target: Path) -> tuple[int, str]:
        """Write a member to a new file; its size and SHA-256."""
        sha, size = hashlib.sha256(), 0
        with open(
            os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            for piece in self._unpacked(name, self._left):
                file.write(piece)
                sha.update(piece)
                size += len(piece)
        self._left -= size
        return size, sha.hexdigest()

    def _unpacked(self, name: str, most: int) -> Iterable[bytes]:
        """The member's bytes as long as there are no more than the directory said: sizes are claims."""
        info = self._members[name]
        most = min(most, info.file_size)
        try:
            with self._zip.open(info) as member:
                while piece := member.read(_CHUNK):
                    most -= len(piece)
                    if most < 0:
                        raise RunError(f"{self._path}: {name} unpacks to more than it says")
                    yield piece
        except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, struct.error) as error:
            raise RunError(f"{self._path}: {name} is damaged") from error
