"""Collecting from a directory that the target can write to."""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from adapters.php import profiles
from adapters.php.profiles import Collector, RefusedError, copy_name, fetch, name_from_header, started_between
from harness.clock import FakeClock
from harness.model.profile import ArtifactStatus
from harness.plugins.spec import ProfiledResponse, Trigger

NAME = "cachegrind.out.4711.1700000001.500000.0a1b2c"
OTHER = "cachegrind.out.4712.1700000001.600000.ffffff"
CONTENT = b"version: 1\n...\n\nsummary: 583799 8417016\n\n"
TRIGGER = Trigger("xdebug", cookies={"XDEBUG_TRIGGER": "secret"})


class EventfulClock(FakeClock):
    """Something happens the third time somebody waits."""

    def __init__(self, happens: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.waits = 0
        self.happens = happens

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.waits += 1
        if self.waits == 3:
            self.happens()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "profiles"
    path.mkdir()
    return path


def status_of(directory: Path, name: str = NAME, clock: FakeClock | None = None) -> tuple[ArtifactStatus, str]:
    found = fetch(directory, name, directory.parent / "copy", clock or FakeClock(), ours=True)
    assert (found.path is None) == (found.status in {ArtifactStatus.MISSING, ArtifactStatus.REFUSED})
    return found.status, found.detail


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [NAME, f"/srv/tmp/{NAME}", f"../../{NAME}", f"/x/y/{NAME}.gz"])
def test_only_the_bare_name_of_the_header_is_used(header: str) -> None:
    assert name_from_header(header, ours=True).startswith(NAME)


@pytest.mark.parametrize(
    "header",
    [
        "", "/", "..", "../../etc/passwd", "/etc/shadow", f"{NAME}/..", f"{NAME}\n", f"{NAME}\0", f"x{NAME}", f"{NAME}x",
        "cachegrind.out.1.2.3.4", ".ssh", "a" * 100_000, f"{NAME} ", "\ud800",
    ],
)  # fmt: skip
def test_other_names_are_refused(header: str) -> None:
    for ours in (True, False):
        if not ours and header in {f"{NAME}x", "cachegrind.out.1.2.3.4"}:
            continue  # a deployment's output name is its owner's choice
        with pytest.raises(RefusedError):
            name_from_header(header, ours=ours)


def test_profiles_are_found_by_the_start_time_in_their_name(directory: Path) -> None:
    for name in (NAME, OTHER, "cachegrind.out.1", "passwd"):
        (directory / name).touch()
    second = 1_700_000_001_000_000_000
    assert started_between(directory, second, second + 10**9) == [NAME, OTHER]
    assert started_between(directory, second + 550_000_000, second + 10**9) == [OTHER]
    assert started_between(directory / "gone", 0, 2**62) == []


def test_copies_have_names_of_our_own() -> None:
    hostile = ProfiledResponse("0123456789abcdef", "GET ../../x\0\n'$(id)", 200, 1, 2, {})
    assert copy_name("xdebug", hostile, 0) == "xdebug-get-x-id-0123456789abcdef.cachegrind"
    script = ProfiledResponse("", "/", 0, 17, 18, {})
    assert copy_name("xdebug", script, 3) == "xdebug-request-17-4.cachegrind"


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_complete_profile_is_copied(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    found = fetch(directory, NAME, directory.parent / "new" / "copy", FakeClock(), ours=True)
    assert (found.status, found.pid, found.size_bytes) == (ArtifactStatus.COMPLETE, 4711, len(CONTENT))
    assert found.path == directory.parent / "new" / "copy"
    assert found.path.read_bytes() == CONTENT
    assert (directory / NAME).exists()


def test_large_profiles_are_stored_compressed(directory: Path) -> None:
    content = b"x" * (2 << 20) + b"\n\n" + CONTENT
    (directory / NAME).write_bytes(content)
    found = fetch(directory, NAME, directory.parent / "copy", FakeClock(), ours=True)
    assert found.path == directory.parent / "copy.gz"
    assert gzip.decompress(found.path.read_bytes()) == content


def test_compressed_profiles_stay_compressed(directory: Path) -> None:
    (directory / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT))
    found = fetch(directory, f"{NAME}.gz", directory.parent / "copy", FakeClock(), ours=True)
    assert found.status is ArtifactStatus.COMPLETE
    assert found.path == directory.parent / "copy.gz"


def test_it_waits_for_the_summary(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT.partition(b"summary")[0])
    clock = EventfulClock(lambda: (directory / NAME).write_bytes(CONTENT))
    assert status_of(directory, clock=clock) == (ArtifactStatus.COMPLETE, "")
    assert clock.waits == 3


def test_it_waits_for_the_lock(directory: Path) -> None:
    """Xdebug writes the summary, then closes the file, which lets go of the lock."""
    (directory / NAME).write_bytes(CONTENT)
    with open(directory / NAME, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = EventfulClock(lambda: fcntl.flock(held, fcntl.LOCK_UN))
        assert status_of(directory, clock=clock) == (ArtifactStatus.COMPLETE, "")
        assert clock.waits == 3


@pytest.mark.parametrize(
    "content", [b"", b"version: 1\n", CONTENT[:-4].rpartition(b"\n")[0], CONTENT + b"fl=(1) more\n"]
)
def test_what_stays_incomplete_is_kept_as_far_as_it_goes(directory: Path, content: bytes) -> None:
    (directory / NAME).write_bytes(content)
    clock = FakeClock()
    status, detail = status_of(directory, clock=clock)
    assert status is ArtifactStatus.TRUNCATED
    assert "no summary line after 20 s" in detail
    assert 20 <= clock.now_ns / 1e9 < 21
    assert (directory.parent / "copy").read_bytes() == content


def test_a_missing_profile_is_missing(directory: Path) -> None:
    assert status_of(directory)[0] is ArtifactStatus.MISSING


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _hard_link(path: Path) -> None:
    (path.parent / "original").write_bytes(CONTENT)
    path.hardlink_to(path.parent / "original")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _endless(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, profiles.SIZE_CAP_BYTES + 1)  # sparse


@pytest.mark.parametrize("make", [_symlink, _hard_link, _fifo, _directory, _endless])
def test_what_is_no_ordinary_file_of_the_pool_is_refused(directory: Path, make: Callable[[Path], None]) -> None:
    make(directory / NAME)
    status, detail = status_of(directory)
    assert status is ArtifactStatus.REFUSED
    assert detail
    assert not (directory.parent / "copy").exists()


def test_a_profile_of_another_user_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(profiles, "_owners", lambda *_: {os.geteuid() + 1})
    assert status_of(directory) == (ArtifactStatus.REFUSED, "the profile belongs to somebody else")


def test_owners_are_the_directory_we_and_the_worker() -> None:
    assert profiles._owners(33, None) == {33, os.geteuid()}
    assert profiles._owners(33, os.getpid()) == {33, os.geteuid()}
    assert profiles._owners(33, 1) == {33, os.geteuid(), Path("/proc/1").stat().st_uid}
    assert profiles._owners(33, 2**31 - 1) == {33, os.geteuid()}


# --- what a request left behind -------------------------------------------------------------------------------------


class Case:
    """A request that ran from second 1 700 000 001.4 to .9 of the wall clock."""

    def __init__(self, directory: Path, *, deployed: bool = False) -> None:
        self.clock = FakeClock(now_ns=10**9, wall_offset_ns=1_700_000_000_000_000_000)
        self.directory = directory
        self.destination = directory.parent / "artifacts"
        self.collector = Collector("php", directory, directory if deployed else None, self.clock)

    def collect(
        self, headers: Mapping[str, str], trigger: Trigger = TRIGGER
    ) -> list[tuple[ArtifactStatus, str | None, str]]:
        response = ProfiledResponse("ab" * 8, "home", 200, 1_400_000_000, 1_900_000_000, headers)
        found = self.collector.collect(trigger, response, self.destination)
        assert all(a.path is None or (self.destination / a.path).is_file() for a in found)
        assert all((a.adapter, a.tool, a.span_id, a.endpoint) == ("php", "xdebug", "ab" * 8, "home") for a in found)
        return [(a.status, a.path, a.detail) for a in found]


def test_the_header_names_the_profile_and_collected_ones_are_removed(directory: Path) -> None:
    for name in (NAME, OTHER):
        (directory / name).write_bytes(CONTENT)
    [(status, path, _)] = Case(directory).collect({"x-xdebug-profile-filename": f"/elsewhere/{OTHER}"})
    assert (status, path) == (ArtifactStatus.COMPLETE, f"xdebug-home-{'ab' * 8}.cachegrind")
    assert list(directory.iterdir()) == []


def test_without_header_the_only_profile_that_began_meanwhile_is_it(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    (directory / NAME.replace("1700000001", "1700000000")).write_bytes(b"an earlier one")
    [(status, _, _)] = Case(directory).collect({})
    assert status is ArtifactStatus.COMPLETE


def test_two_candidates_are_not_guessed_between(directory: Path) -> None:
    for name in (NAME, OTHER):
        (directory / name).write_bytes(CONTENT)
    [(status, path, detail)] = Case(directory).collect({})
    assert (status, path) == (ArtifactStatus.MISSING, None)
    assert "2 profiles began meanwhile" in detail


def test_a_lying_header_is_refused_and_nothing_else_is_taken_instead(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    [(status, path, detail)] = Case(directory).collect({"x-xdebug-profile-filename": "../../etc/passwd"})
    assert (status, path) == (ArtifactStatus.REFUSED, None)
    assert "'passwd'" in detail


def test_in_a_foreign_directory_nothing_is_guessed_or_removed(directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    [(status, _, detail)] = Case(directory, deployed=True).collect({})
    assert status is ArtifactStatus.MISSING
    assert "is the secret right?" in detail
    [(status, _, _)] = Case(directory, deployed=True).collect({"x-xdebug-profile-filename": NAME})
    assert status is ArtifactStatus.COMPLETE
    assert (directory / NAME).exists()


def test_a_script_has_a_profile_for_each_php_it_started(directory: Path) -> None:
    for name in (NAME, OTHER):
        (directory / name).write_bytes(CONTENT)
    found = Case(directory).collect({}, Trigger("xdebug", argv=("php", "x.php")))
    assert [status for status, _, _ in found] == [ArtifactStatus.COMPLETE] * 2
    assert len({path for _, path, _ in found}) == 2
