"""Fetching from a directory that the target can write to."""

from __future__ import annotations

import fcntl
import gzip
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.php.xdebug import local_outputs
from adapters.php.xdebug.local_outputs import LocalOutputs
from adapters.php.xdebug.outputs import LOG_TAIL_BYTES, Fetched
from adapters.php.xdebug.tools import GCSTATS, PROFILE, TOOLS, TRACE, XdebugTool
from harness.clock import FakeClock
from harness.model.profile import ArtifactStatus

MIDDLE = ".4711.1700000001.500000.0a1b2c.0123456789abcdef"
NAME = f"cachegrind.out{MIDDLE}"
CONTENT = b"version: 1\n...\n\nsummary: 583799 8417016\n\n"
COMPLETE = {
    "xdebug": CONTENT,
    "xdebug_trace": b"Version: 3.2.0\nFile format: 4\nTRACE START [2026-11-23 02:50:14.773136]\n1\t0\t1\t0.1\t400000\n"
    b"\t\t\t0.000200\t393344\nTRACE END   [2026-11-23 02:50:14.773400]\n\n",
    "xdebug_gcstats": b"Garbage Collection Report\nversion: 1\ncreator: xdebug 3.2.0 (PHP 8.2.1)\n\n",
}
EACH_TOOL = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)


class EventfulClock(FakeClock):
    """Something happens each time somebody waits."""

    def __init__(self, happens: Callable[[int], object] = lambda _: None) -> None:
        super().__init__()
        self.waits = 0
        self.happens = happens

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.waits += 1
        self.happens(self.waits)


def third(happens: Callable[[], object]) -> EventfulClock:
    return EventfulClock(lambda waits: happens() if waits == 3 else None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "profiles"
    path.mkdir()
    return path


def name_of(tool: XdebugTool) -> str:
    return f"{tool.prefix}{MIDDLE}{tool.suffix}"


def fetch(
    directory: Path, clock: FakeClock | None = None, tool: XdebugTool = PROFILE, name: str | None = None
) -> Fetched:
    outputs = LocalOutputs(directory, clock or FakeClock(), ours=True)
    found = outputs.fetch(tool, name or name_of(tool), directory.parent / "copy")
    there = found.status in {ArtifactStatus.COMPLETE, ArtifactStatus.TRUNCATED}
    assert (found.path is not None) == there
    assert bool(found.detail) == (found.status is not ArtifactStatus.COMPLETE)
    if not there:
        assert [p.name for p in directory.parent.iterdir() if p != directory] == [], "nothing was copied"
    return found


# --- complete files -------------------------------------------------------------------------------------------------


@EACH_TOOL
def test_a_complete_file_is_copied(directory: Path, tool: XdebugTool) -> None:
    (directory / name_of(tool)).write_bytes(COMPLETE[tool.name])
    clock = EventfulClock()
    destination = directory.parent / "new" / "copy"
    found = LocalOutputs(directory, clock, ours=True).fetch(tool, name_of(tool), destination)
    assert found == Fetched(ArtifactStatus.COMPLETE, "", destination, len(COMPLETE[tool.name]))
    assert destination.read_bytes() == COMPLETE[tool.name]
    assert (directory / name_of(tool)).exists()
    assert clock.waits == 0


def test_large_files_are_stored_compressed(directory: Path) -> None:
    content = b"x" * (2 << 20) + b"\n\n" + CONTENT
    (directory / NAME).write_bytes(content)
    found = fetch(directory)
    assert found.path == directory.parent / "copy.gz"
    assert gzip.decompress(found.path.read_bytes()) == content
    assert found.size_bytes == len(content)


@EACH_TOOL
def test_compressed_files_stay_compressed(directory: Path, tool: XdebugTool) -> None:
    packed = gzip.compress(COMPLETE[tool.name])
    (directory / f"{name_of(tool)}.gz").write_bytes(packed)
    found = fetch(directory, tool=tool, name=f"{name_of(tool)}.gz")
    assert found.status is ArtifactStatus.COMPLETE
    assert found.path == directory.parent / "copy.gz"
    assert found.path.read_bytes() == packed


@pytest.mark.parametrize("tool", [PROFILE, TRACE], ids=lambda tool: tool.name)
def test_it_waits_for_the_end(directory: Path, tool: XdebugTool) -> None:
    path, content = directory / name_of(tool), COMPLETE[tool.name]
    path.write_bytes(content[: len(content) // 2])
    clock = third(lambda: path.write_bytes(content))
    assert fetch(directory, clock, tool).status is ArtifactStatus.COMPLETE
    assert clock.waits == 3


@EACH_TOOL
def test_it_waits_for_the_lock(directory: Path, tool: XdebugTool) -> None:
    """Xdebug writes the end, then closes the file, which lets go of the lock."""
    (directory / name_of(tool)).write_bytes(COMPLETE[tool.name])
    with open(directory / name_of(tool), "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = third(lambda: fcntl.flock(held, fcntl.LOCK_UN))
        assert fetch(directory, clock, tool).status is ArtifactStatus.COMPLETE
        assert clock.waits == 3


# --- incomplete files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"version: 1\n", CONTENT[:-4].rpartition(b"\n")[0], CONTENT + b"fl=(1) more\n"]
)
def test_what_nobody_writes_any_more_is_kept_as_far_as_it_goes(directory: Path, content: bytes) -> None:
    (directory / NAME).write_bytes(content)
    clock = FakeClock()
    found = fetch(directory, clock)
    assert found.status is ArtifactStatus.TRUNCATED
    assert "no summary line" in found.detail
    assert 2 <= clock.now_ns / 1e9 < 2.1, "the lock is free and nothing grows: there is nobody to wait for"
    assert (directory.parent / "copy").read_bytes() == content


@EACH_TOOL
def test_what_is_still_held_is_waited_for_with_an_end(directory: Path, tool: XdebugTool) -> None:
    (directory / name_of(tool)).write_bytes(COMPLETE[tool.name])
    with open(directory / name_of(tool), "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = FakeClock()
        found = fetch(directory, clock, tool)
    assert found.status is ArtifactStatus.TRUNCATED
    assert "after 20 s" in found.detail
    assert 20 <= clock.now_ns / 1e9 < 20.1


@pytest.mark.parametrize("tool", [PROFILE, TRACE], ids=lambda tool: tool.name)
def test_a_file_cut_anywhere_is_called_truncated(directory: Path, tool: XdebugTool) -> None:
    content = COMPLETE[tool.name]
    for length in range(len(content.rstrip())):
        (directory / name_of(tool)).write_bytes(content[:length])
        found = fetch(directory, tool=tool)
        assert found.status is ArtifactStatus.TRUNCATED, length
        (directory.parent / "copy").unlink()


@EACH_TOOL
def test_a_compressed_file_that_is_cut_or_damaged(directory: Path, tool: XdebugTool) -> None:
    packed = gzip.compress(os.urandom(100_000) + COMPLETE[tool.name])
    name = f"{name_of(tool)}.gz"
    for content in (packed[: len(packed) // 2], packed[:20], packed[:2], packed[:50] + b"\xff" * 50 + packed[100:]):
        (directory / name).write_bytes(content)
        found = fetch(directory, tool=tool, name=name)
        assert found.path is not None
        assert found.path.read_bytes() == content
        assert tool is GCSTATS or found.status is ArtifactStatus.TRUNCATED


def test_a_file_that_is_written_to_while_it_is_copied(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / NAME).write_bytes(CONTENT)
    copy = local_outputs.keep_copy

    def copy_and_write(file: int, destination: Path, cap_bytes: int) -> Path:
        path = copy(file, destination, cap_bytes)
        with open(directory / NAME, "ab") as late:
            late.write(b"late")
        return path

    monkeypatch.setattr(local_outputs, "keep_copy", copy_and_write)
    found = fetch(directory)
    assert found.status is ArtifactStatus.TRUNCATED
    assert "after it was complete" in found.detail


def test_a_missing_file_is_missing(directory: Path) -> None:
    assert fetch(directory) == Fetched(ArtifactStatus.MISSING, "the profile is not in profiles/")


# --- hostile files --------------------------------------------------------------------------------------------------


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _hard_link(path: Path) -> None:
    (path.parent / "original").write_bytes(CONTENT)
    path.hardlink_to(path.parent / "original")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def _two_gigabytes(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 2 << 30)  # sparse


@EACH_TOOL
@pytest.mark.parametrize("make", [_symlink, _hard_link, _fifo, _socket, _directory, _two_gigabytes])
def test_what_is_no_ordinary_file_of_the_pool_is_refused(
    directory: Path, tool: XdebugTool, make: Callable[[Path], None]
) -> None:
    make(directory / name_of(tool))
    clock = FakeClock()
    assert fetch(directory, clock, tool).status is ArtifactStatus.REFUSED
    assert clock.now_ns == 0, "nothing was waited for"


@EACH_TOOL
def test_a_gzip_bomb_is_refused_once(directory: Path, tool: XdebugTool) -> None:
    tool = replace(tool, cap_bytes=8 << 20)
    name = f"{name_of(tool)}.gz"
    (directory / name).write_bytes(gzip.compress(bytes(tool.cap_bytes + (1 << 20))))
    clock = FakeClock()
    found = fetch(directory, clock, tool, name)
    assert found.status is ArtifactStatus.REFUSED
    assert "unpacks to more than" in found.detail
    assert clock.now_ns == 0


@EACH_TOOL
def test_an_endless_file_is_refused_as_soon_as_it_passes_the_cap(directory: Path, tool: XdebugTool) -> None:
    path = directory / name_of(tool)
    path.write_bytes(b"")
    step = tool.cap_bytes // 10
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = EventfulClock(lambda waits: os.truncate(path, waits * step))
        found = fetch(directory, clock, tool)
    assert found.status is ArtifactStatus.REFUSED
    assert f"larger than {tool.cap_bytes >> 20} MiB" in found.detail
    assert clock.waits == 11


def test_an_endless_file_that_nobody_holds_ends_the_wait_too(directory: Path) -> None:
    path = directory / NAME
    path.write_bytes(b"x")
    clock = EventfulClock(lambda waits: os.truncate(path, waits))
    found = fetch(directory, clock)
    assert found.status is ArtifactStatus.TRUNCATED
    assert 20 <= clock.now_ns / 1e9 < 20.1


def test_a_file_that_is_replaced_meanwhile_is_still_the_one_that_was_checked(directory: Path) -> None:
    path = directory / NAME
    path.write_bytes(b"version: 1\n")

    def replace() -> None:
        path.unlink()
        path.symlink_to("/etc/passwd")

    found = fetch(directory, third(replace))
    assert found.status is ArtifactStatus.TRUNCATED
    assert (directory.parent / "copy").read_bytes() == b"version: 1\n"


def test_what_is_no_directory_gives_nothing(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    for place in (directory / "gone", directory / NAME):
        found = LocalOutputs(place, FakeClock(), ours=True).fetch(PROFILE, NAME, directory.parent / "copy")
        assert found.status is ArtifactStatus.REFUSED
        assert found.detail.startswith("cannot open")


@pytest.mark.parametrize("name", ["../profiles/" + NAME, "/etc/passwd", ".", "..", ""])
def test_only_bare_names_are_looked_up(directory: Path, name: str) -> None:
    (directory / NAME).write_bytes(CONTENT)
    found = LocalOutputs(directory, FakeClock(), ours=True).fetch(PROFILE, name, directory.parent / "copy")
    assert found.status is ArtifactStatus.REFUSED


def test_a_file_of_another_user_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(local_outputs, "_owners", lambda *_: {os.geteuid() + 1})
    assert fetch(directory) == Fetched(ArtifactStatus.REFUSED, "the profile belongs to somebody else")


def test_owners_are_the_directory_we_and_the_worker() -> None:
    assert local_outputs._owners(33, None) == {33, os.geteuid()}
    assert local_outputs._owners(33, os.getpid()) == {33, os.geteuid()}
    assert local_outputs._owners(33, 1) == {33, os.geteuid(), Path("/proc/1").stat().st_uid}
    assert local_outputs._owners(33, 2**31 - 1) == {33, os.geteuid()}


# --- the directory and the log --------------------------------------------------------------------------------------


def test_entries_are_looked_at_without_following_anything(directory: Path) -> None:
    (directory / "file").write_bytes(b"123")
    (directory / "link").symlink_to("/etc/passwd")
    _fifo(directory / "fifo")
    before_ns = time.time_ns()
    entries = {entry.name: entry for entry in LocalOutputs(directory, FakeClock(), ours=True).entries()}
    assert set(entries) == {"file", "link", "fifo"}
    assert entries["file"].size_bytes == 3
    assert abs(entries["file"].modified_ns - before_ns) < 60 * 10**9
    assert entries["link"].size_bytes == len("/etc/passwd")
    assert LocalOutputs(directory / "gone", FakeClock(), ours=True).entries() == []


def test_only_names_are_removed(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (directory / "link").symlink_to(outside)
    (directory / "file").touch()
    (directory / "directory").mkdir()
    LocalOutputs(directory, FakeClock(), ours=True).remove(["file", "link", "directory", "gone"])
    assert [path.name for path in directory.iterdir()] == ["directory"]
    assert outside.read_text() == "keep"
    LocalOutputs(directory / "gone", FakeClock(), ours=True).remove(["file"])


def test_the_end_of_the_log_is_read_and_nothing_that_is_no_file(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    outputs = LocalOutputs(tmp_path, FakeClock(), ours=True, log=log)
    assert outputs.log_tail() == b""
    log.write_bytes(b"x" * LOG_TAIL_BYTES + b"last\n")
    assert len(outputs.log_tail()) == LOG_TAIL_BYTES
    assert outputs.log_tail().endswith(b"xlast\n")
    log.unlink()
    _fifo(log)
    assert outputs.log_tail() == b""
    assert LocalOutputs(tmp_path, FakeClock(), ours=True).log_tail() == b""


def test_free_space_is_that_of_the_directory(tmp_path: Path) -> None:
    free = LocalOutputs(tmp_path, FakeClock(), ours=True).free_bytes()
    assert free is not None
    assert free > 0
    assert LocalOutputs(tmp_path / "gone", FakeClock(), ours=True).free_bytes() is None
