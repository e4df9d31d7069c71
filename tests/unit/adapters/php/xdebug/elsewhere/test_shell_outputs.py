"""Files behind a shell: dash, bash and busybox with its own tools run the script, in a hostile directory."""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from shells import PLACE, outputs_of, shells

from adapters.php.fpm.access_format import compile_format
from adapters.php.xdebug.collector import Collector
from adapters.php.xdebug.elsewhere.shell_outputs import STEADY_S, ShellOutputs, script
from adapters.php.xdebug.outputs import LOG_TAIL_BYTES, NAMES_CAP, Fetched
from adapters.php.xdebug.tools import GCSTATS, PROFILE, XdebugTool
from harness.clock import FakeClock, SystemClock
from harness.model.profile import ArtifactStatus
from harness.plugins.spec import ProfiledResponse, Trigger

MIDDLE = ".4711.1700000001.500000.0a1b2c.0123456789abcdef"
NAME = f"cachegrind.out{MIDDLE}"
CONTENT = b"version: 1\n...\n\nsummary: 583799 8417016\n\n"


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


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def argv(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return shells(tmp_path_factory.mktemp("shells") / "bin")[request.param]


@pytest.fixture
def dash(tmp_path: Path) -> list[str]:
    return shells(tmp_path / "bin")["dash"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / 'it\'s $(here); "quoted" \\'
    path.mkdir()
    return path


@pytest.fixture
def outputs(argv: list[str], directory: Path) -> Iterator[ShellOutputs]:
    found = outputs_of(argv, directory, str(directory.parent / "access.log"), EventfulClock())
    yield found
    found.close()


def fetch(outputs: ShellOutputs, to: Path, name: str = NAME, tool: XdebugTool = PROFILE) -> Fetched:
    found = outputs.fetch(tool, name, to / "new" / "copy")
    there = found.status in {ArtifactStatus.COMPLETE, ArtifactStatus.TRUNCATED}
    assert (found.path is not None) == there
    assert bool(found.detail) == (found.status is not ArtifactStatus.COMPLETE)
    left = [path.name for path in (to / "new").iterdir()] if (to / "new").exists() else []
    assert left == ([found.path.name] if found.path else [])
    return found


# --- what is well ---------------------------------------------------------------------------------------------------


def test_files_are_listed_fetched_and_removed(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    (directory / "other").write_text("not Xdebug's")
    (directory / "trace.1.xt").write_text("")
    os.utime(directory / NAME, ns=(1, 1_700_000_000_123_456_789))
    entries = {entry.name: entry for entry in outputs.entries()}
    assert set(entries) == {NAME, "trace.1.xt"}
    assert entries[NAME].size_bytes == len(CONTENT)
    assert entries[NAME].modified_ns == 1_700_000_000_123_456_789
    found = fetch(outputs, tmp_path)
    assert found == Fetched(ArtifactStatus.COMPLETE, "", tmp_path / "new" / "copy", len(CONTENT))
    assert (tmp_path / "new" / "copy").read_bytes() == CONTENT
    outputs.remove([NAME, "cachegrind.out.gone", "../access.log", "a b", "-rf"])
    assert sorted(path.name for path in directory.iterdir()) == ["other", "trace.1.xt"]
    assert outputs.trouble == ""
    assert outputs.pid_outside(1) == 1001


def test_a_large_file_is_whole_and_stored_compressed(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    content = os.urandom(5 << 20) + b"\n\n" + CONTENT
    (directory / NAME).write_bytes(content)
    found = fetch(outputs, tmp_path)
    assert found.status is ArtifactStatus.COMPLETE
    assert found.path == tmp_path / "new" / "copy.gz"
    assert gzip.decompress(found.path.read_bytes()) == content
    assert found.size_bytes == len(content)


def test_what_xdebug_compressed_stays_as_it_is(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT)
    (directory / f"{NAME}.gz").write_bytes(packed)
    found = fetch(outputs, tmp_path, f"{NAME}.gz")
    assert found.status is ArtifactStatus.COMPLETE
    assert found.path is not None
    assert found.path.read_bytes() == packed


def test_a_report_of_the_collector_has_no_end(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    (directory / "gcstats.1").write_bytes(b"Garbage Collection Report\n")
    assert fetch(outputs, tmp_path, "gcstats.1", GCSTATS).status is ArtifactStatus.COMPLETE


def test_it_waits_for_the_lock(argv: list[str], directory: Path, tmp_path: Path) -> None:
    """By flock(1), or by /proc/locks where that is missing, as in busybox of Debian."""
    (directory / NAME).write_bytes(CONTENT)
    with open(directory / NAME, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = EventfulClock(lambda waits: fcntl.flock(held, fcntl.LOCK_UN) if waits == 40 else None)
        outputs = outputs_of(argv, directory, clock=clock)
        assert fetch(outputs, tmp_path).status is ArtifactStatus.COMPLETE
        outputs.close()
        assert clock.waits >= 40


def test_it_waits_for_the_end(argv: list[str], directory: Path, tmp_path: Path) -> None:
    (directory / NAME).write_bytes(CONTENT[:20])
    clock = EventfulClock(lambda waits: (directory / NAME).write_bytes(CONTENT) if waits == 3 else None)
    outputs = outputs_of(argv, directory, clock=clock)
    assert fetch(outputs, tmp_path).status is ArtifactStatus.COMPLETE
    outputs.close()
    assert clock.waits >= 3


def test_where_locks_are_not_told_a_file_has_to_stay_as_it_is(directory: Path, tmp_path: Path) -> None:
    """Debian's busybox has no flock, and who is not in /proc/locks may be in another namespace."""
    busybox = shells(tmp_path / "bin")["busybox"]
    (directory / NAME).write_bytes(CONTENT)
    clock = EventfulClock()
    outputs = outputs_of(busybox, directory, clock=clock)
    assert fetch(outputs, tmp_path).status is ArtifactStatus.COMPLETE
    outputs.close()
    assert clock.now_ns >= STEADY_S * 1e9


@pytest.mark.parametrize("content", [b"", b"version: 1\n", CONTENT + b"fl=(1) more\n"])
def test_what_nobody_writes_any_more_is_kept_as_far_as_it_goes(
    outputs: ShellOutputs, directory: Path, tmp_path: Path, content: bytes
) -> None:
    (directory / NAME).write_bytes(content)
    found = fetch(outputs, tmp_path)
    assert found.status is ArtifactStatus.TRUNCATED
    assert "no summary line" in found.detail
    assert found.path is not None
    assert found.path.read_bytes() == content


def test_the_log_and_what_is_free(outputs: ShellOutputs, directory: Path) -> None:
    log = directory.parent / "access.log"
    assert outputs.log_tail() == b""
    log.write_bytes(b"x" * LOG_TAIL_BYTES + b"\nlast\n")
    tail = outputs.log_tail()
    assert len(tail) == LOG_TAIL_BYTES
    assert tail.endswith(b"x\nlast\n")
    there = os.statvfs(directory)
    free = outputs.free_bytes()
    assert free is not None
    assert abs(free - there.f_bavail * there.f_frsize) < 1 << 30  # others write too
    log.unlink()
    os.mkfifo(log)
    assert outputs.log_tail() == b""


def test_its_clock_is_ours(argv: list[str], directory: Path) -> None:
    """The shell is on this machine, so the true offset is 0 and must lie within the bound that is told."""
    outputs = outputs_of(argv, directory)
    offset = outputs.wall_offset()
    outputs.close()
    assert abs(offset.ns) <= offset.error_ns
    assert 0 < offset.error_ns < 5e9


def behind_the_times(tmp_path: Path, argv: list[str], seconds: int) -> list[str]:
    """The same shell on a host whose clock is wrong."""
    (tmp_path / "clock").mkdir()
    date = tmp_path / "clock" / "date"
    date.write_text(
        f'#!/bin/sh\n[ "$1" = +%s ] && exec /bin/date -d "{seconds} seconds" +%s\nexec /bin/date -d "{seconds} seconds" "$1"\n'
    )
    date.chmod(0o755)
    return ["/usr/bin/env", f"PATH={date.parent}:{os.environ['PATH']}", *argv]


@pytest.mark.parametrize("seconds", [-3600, 86_400])
def test_a_clock_that_is_wrong_is_known(dash: list[str], directory: Path, tmp_path: Path, seconds: int) -> None:
    outputs = outputs_of(behind_the_times(tmp_path, dash, seconds), directory)
    offset = outputs.wall_offset()
    outputs.close()
    assert abs(offset.ns - seconds * 1_000_000_000) <= offset.error_ns < 5e9


@pytest.mark.parametrize(
    ("host", "pid", "told"), [("", 1077, {}), ("web-1", 1077, {"host": "web-1"}), (None, None, {})]
)
def test_files_are_joined_by_the_clock_they_were_named_with(
    dash: list[str], directory: Path, tmp_path: Path, host: str | None, pid: int | None, told: dict[str, str]
) -> None:
    """The host is a day ahead; the log says which worker answered, and of its two files one began meanwhile there. An id of a
    host that is not sampled says nothing."""
    clock = SystemClock()
    now_ns, span = clock.monotonic_ns(), "00000000000000aa"
    there_us = clock.wall_ns() // 1000 + 86_400_000_000
    for us in (there_us, there_us - 86_400_000_000):
        (directory / f"cachegrind.out.77.{us // 1_000_000}.{us % 1_000_000:06}.0a1b2c.").write_bytes(CONTENT)
    log = tmp_path / "access.log"
    log.write_text(f"77 200 2097152 454 00-{'1' * 32}-{span}-01 GET /x.php\n")
    outputs = outputs_of(behind_the_times(tmp_path, dash, 86_400), directory, str(log))
    parse = compile_format("%p %s %{bytes}M %{micro}d %{HTTP_TRACEPARENT}e %m %r").record
    collector = Collector("php", PROFILE, outputs, clock, ours=False, parse_line=parse, host=host)
    response = ProfiledResponse(span, "GET /", 200, now_ns - 50_000_000, now_ns + 50_000_000, {})
    (artifact,) = collector.collect(Trigger("xdebug", cookies={"a": "b"}), response, tmp_path)
    outputs.close()
    assert artifact.detail == ""
    assert artifact.attributes == {"found_by": "access-log", **told}
    assert artifact.pid == pid


# --- what is hostile ------------------------------------------------------------------------------------------------


def _link(path: Path) -> None:
    (path.parent.parent / "target").write_bytes(CONTENT)
    path.symlink_to(path.parent.parent / "target")


def _second_name(path: Path) -> None:
    (path.parent.parent / "target").write_bytes(CONTENT)
    os.link(path.parent.parent / "target", path)


def _socket(path: Path) -> None:
    short = Path("/proc/self/fd") / str(os.open(path.parent, os.O_PATH))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(short / path.name))
    os.close(int(short.name))


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir, _second_name, _socket])
def test_what_is_no_file_of_its_own_is_refused(
    outputs: ShellOutputs, directory: Path, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(directory / NAME)
    found = fetch(outputs, tmp_path)
    assert found.status is ArtifactStatus.REFUSED
    assert "ordinary" in found.detail or "second name" in found.detail
    assert outputs.trouble == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    os.chown(directory / NAME, 12345, -1)
    found = fetch(outputs, tmp_path)
    assert found.status is ArtifactStatus.REFUSED
    assert "somebody else" in found.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_worker_in_the_name_may_have_written_it(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    """As in /tmp, which belongs to root: the owner of that pid is asked for there."""
    os.chown(directory, 12345, -1)
    name = NAME.replace("4711", str(os.getpid()))
    (directory / name).write_bytes(CONTENT)
    assert fetch(outputs, tmp_path, name).status is ArtifactStatus.COMPLETE


def test_a_file_over_the_cap_is_refused(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    (directory / NAME).touch()
    os.truncate(directory / NAME, PROFILE.cap_bytes + 1)
    found = fetch(outputs, tmp_path)
    assert found == Fetched(ArtifactStatus.REFUSED, "the profile is larger than 512 MiB")


def test_an_endless_file_is_refused_when_it_passes_the_cap(
    outputs: ShellOutputs, directory: Path, tmp_path: Path
) -> None:
    """It grows all the time: by looks until it is too large, or, should a look find an end in it, by the copy."""
    small = replace(PROFILE, cap_bytes=1 << 20)
    stop = threading.Event()

    def grow() -> None:
        with open(directory / NAME, "ab", buffering=0) as file:
            while not stop.is_set():
                file.write(CONTENT * 200)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = fetch(outputs, tmp_path, tool=small)
    finally:
        stop.set()
        writer.join()
    assert found.status is ArtifactStatus.REFUSED
    assert "larger than 1 MiB" in found.detail


def test_a_bomb_is_refused(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    (directory / f"{NAME}.gz").write_bytes(gzip.compress(bytes(4 << 20)))
    found = fetch(outputs, tmp_path, f"{NAME}.gz", replace(PROFILE, cap_bytes=1 << 20))
    assert found.status is ArtifactStatus.REFUSED
    assert "unpacks to more" in found.detail


def test_a_file_that_is_replaced_keeps_what_was_opened(argv: list[str], directory: Path, tmp_path: Path) -> None:
    """Between looks the name leads elsewhere; the open file is what was looked at."""
    (directory / NAME).write_bytes(CONTENT[:20])
    (directory.parent / "secret").write_text("secret")

    def happens(waits: int) -> None:
        if waits == 2:
            (directory / NAME).unlink()
            (directory / NAME).symlink_to(directory.parent / "secret")

    outputs = outputs_of(argv, directory, clock=EventfulClock(happens))
    found = fetch(outputs, tmp_path)
    outputs.close()
    assert found.status in {ArtifactStatus.TRUNCATED, ArtifactStatus.REFUSED}
    assert found.path is None or found.path.read_bytes() == CONTENT[:20]


def test_a_file_that_is_swapped_all_the_time_never_leads_out(dash: list[str], directory: Path, tmp_path: Path) -> None:
    (directory.parent / "secret").write_bytes(b"secret" + CONTENT)
    (directory / "mine").write_bytes(CONTENT)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (directory / "link").symlink_to(directory.parent / "secret")
            (directory / "link").rename(directory / NAME)
            (directory / "file").write_bytes(CONTENT)
            (directory / "file").rename(directory / NAME)

    swapper = threading.Thread(target=swap)
    swapper.start()
    outputs = outputs_of(dash, directory)
    try:
        for _ in range(30):
            found = outputs.fetch(PROFILE, NAME, tmp_path / "copy", 0.2)
            assert found.path is None or b"secret" not in found.path.read_bytes()
    finally:
        stop.set()
        swapper.join()
        outputs.close()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a b", "a\nb", "a;id", "$(id)", "-rf", "a'b", "ä", "x" * 256]
)
def test_names_that_could_mean_something_never_cross_the_line(dash: list[str], directory: Path, name: str) -> None:
    outputs = outputs_of(dash, directory)
    assert outputs.fetch(PROFILE, name, directory / "copy").status is ArtifactStatus.REFUSED
    outputs.remove([name])
    assert outputs._line is None, "nothing was asked"


def test_junk_in_names_is_left_out(outputs: ShellOutputs, directory: Path) -> None:
    junk = [b"cachegrind.out.\xff\xfe", b"cachegrind.out.a\nb", b"cachegrind.out.\x1b[31m", b"cachegrind.out.a b",
            b"x\ncachegrind.out.99.1700000001.500000.0a1b2c", b"$(touch hacked)", b"-rf", b"`id`"]  # fmt: skip
    for name in junk:
        Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).write_bytes(b"")
    (directory / NAME).write_bytes(CONTENT)
    assert [entry.name for entry in outputs.entries()] == [NAME]
    assert not list(directory.parent.rglob("hacked"))


def test_a_directory_full_of_names(dash: list[str], tmp_path: Path) -> None:
    """More than are looked at: the answer is cut, and comes."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))  # names are made faster there
    parent = os.open(directory, os.O_PATH)
    try:
        for number in range(NAMES_CAP + 1000):
            os.close(os.open(f"gcstats.{number}", os.O_CREAT | os.O_WRONLY, dir_fd=parent))
        (directory / NAME).touch()
        clock = FakeClock()
        outputs = outputs_of(dash, directory, clock=clock)
        line = outputs._connected()
        listed = line.ask(f"names {NAMES_CAP} {NAMES_CAP * 128}", seconds=60, cap_bytes=NAMES_CAP * 128).data
        assert listed.count(b"\n") == NAMES_CAP
        assert line.ask(f"names {NAMES_CAP} 1000", seconds=60, cap_bytes=1000).data == listed[:1000]
        outputs.close()
    finally:
        os.close(parent)
        shutil.rmtree(directory)


def test_a_directory_that_is_gone_is_told(outputs: ShellOutputs, directory: Path, tmp_path: Path) -> None:
    directory.rmdir()
    assert outputs.entries() == ()
    assert "no directory" in outputs.trouble
    assert str(PLACE) in outputs.trouble
    found = fetch(outputs, tmp_path)
    assert found == Fetched(ArtifactStatus.MISSING, outputs.trouble)
    directory.mkdir()
    assert outputs.entries() == []
    assert outputs.trouble == ""


def test_a_directory_that_is_a_link_to_a_file_is_none(argv: list[str], directory: Path) -> None:
    directory.rmdir()
    directory.symlink_to("/etc/passwd")
    outputs = outputs_of(argv, directory)
    assert outputs.entries() == ()
    assert "no directory" in outputs.trouble
    outputs.close()


# --- the line -------------------------------------------------------------------------------------------------------


def test_a_broken_line_is_made_anew(dash: list[str], directory: Path) -> None:
    (directory / NAME).write_bytes(CONTENT)
    outputs = outputs_of(dash, directory)
    assert len(outputs.entries()) == 1
    assert outputs._line is not None
    outputs._line._process.kill()
    assert len(outputs.entries()) == 1
    assert outputs.trouble == ""
    outputs.close()


def test_a_place_that_cannot_be_reached_is_not_tried_each_time(directory: Path, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    clock = FakeClock()
    outputs = outputs_of(
        ["sh", "-c", f"echo x >>{tries}; echo Permission denied >&2; exit 255"], directory, clock=clock
    )
    for _ in range(3):
        found = fetch(outputs, tmp_path)
        assert found == Fetched(ArtifactStatus.MISSING, "the host staging: the connection ended: Permission denied")
    assert tries.read_text() == "x\n"
    clock.sleep(31)
    fetch(outputs, tmp_path)
    assert tries.read_text() == "x\nx\n"


def test_half_an_answer_is_no_answer(dash: list[str], directory: Path, tmp_path: Path) -> None:
    """The line drops in the middle of the copy: nothing is kept of it, and the next time it is asked for again."""
    (directory / NAME).write_bytes(os.urandom(1 << 20) + CONTENT)
    cut = script().replace(
        "do_copy() {", "do_copy() { say data; head -c 5000 /dev/urandom | gzip -c | head -c 900; exit; "
    )
    outputs = outputs_of(dash, directory, text=cut)
    found = fetch(outputs, tmp_path)
    assert found.status is ArtifactStatus.MISSING
    assert "the connection ended" in found.detail
    outputs.close()
