"""Keeper and line together, over a connection that is a pair of pipes: everything of them but the network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from kept import KeptLine, is_tick, kept, kind, processes_with, sweeps_are_whole, wait_until

from harness.errors import TargetError
from harness.sampling.remote.link import NOBODY
from harness.targets.connectors import deploy
from harness.targets.connectors.deploy import Deployed
from harness.targets.connectors.local import LocalConnector

HERE = LocalConnector()


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_samples_arrive_and_nothing_is_left(tmp_path: Path) -> None:
    there = kept(HERE)
    line = KeptLine(there.link)
    clock = line.until(kind("clock"))
    assert clock["before"] <= clock["there"] <= clock["after"]  # it is the same clock
    line.sampler(20)
    for _ in range(5):
        line.until(is_tick)
    assert line.end() == 0
    *_, bye, ended, over = line.said
    assert bye["m"]["k"] == "bye"
    assert ended["m"].pop("cpu") > 0
    assert ended["m"] == {"k": "ended", "name": "sampler", "code": 0, "complaints": ""}
    assert over == {"k": "over"}
    assert not list(tmp_path.iterdir())
    sweeps_are_whole(line.ticks(), 20)


def test_a_cut_connection_loses_nothing(tmp_path: Path) -> None:
    there = kept(HERE)
    line = KeptLine(there.link)
    line.until(kind("up"))
    line.sampler(5)
    for _ in range(3):
        for _ in range(20):
            line.until(is_tick)
        for pid in processes_with(f"link\0{there.directory}"):
            os.kill(pid, signal.SIGKILL)
        line.until(kind("down"))
        line.until(kind("up"))
    line.until(is_tick)
    assert line.end() == 0
    assert line.said[-3]["m"]["k"] == "bye"
    assert len(line.ticks()) == line.said[-3]["m"]["ticks"]
    sweeps_are_whole(line.ticks(), 5)
    assert not list(tmp_path.iterdir())


def test_orders_given_while_the_line_is_down_arrive_once(tmp_path: Path) -> None:
    there = kept(HERE)
    line = KeptLine(there.link)
    line.until(kind("up"))
    line.sampler(1000)
    for pid in processes_with(f"link\0{there.directory}"):
        os.kill(pid, signal.SIGKILL)
    line.until(kind("down"))
    for number in (1, 2, 3):
        line.tell("sampler", cmd="floor", id=number)
    line.until(lambda m: is_tick(m) and m["m"]["floor"] == 3)
    assert line.end() == 0
    assert [tick["floor"] for tick in line.ticks() if tick["floor"] is not None] == [1, 2, 3]


def test_a_full_spool_makes_the_sampler_wait_and_say_so(tmp_path: Path) -> None:
    """Home is stopped, so that nothing is confirmed; afterwards sweeps are missing, are counted, and order holds."""
    there = kept(HERE, spool_bytes=300_000)
    line = KeptLine(there.link)
    line.until(kind("up"))
    line.sampler(1)
    line.until(is_tick)
    line.process.send_signal(signal.SIGSTOP)
    spooled = Path(str(there.directory))
    wait_until(lambda: any(path.suffix == ".spool" for path in spooled.iterdir()))
    wait_until(lambda: _sampler_waits(there.directory.name))
    line.process.send_signal(signal.SIGCONT)
    line.until(lambda m: is_tick(m) and m["m"]["missed"] > 5)
    assert line.end() == 0
    sweeps_are_whole(line.ticks(), 1)
    assert not list(tmp_path.iterdir())


def test_a_full_spool_does_not_keep_it_when_home_never_comes_back(tmp_path: Path) -> None:
    there = kept(HERE, silence_s=0.5, grace_s=8, spool_bytes=100_000)
    line = KeptLine(there.link)
    line.until(kind("up"))
    line.sampler(1)
    line.until(is_tick)
    line.process.kill()
    wait_until(lambda: _sampler_waits(there.directory.name))
    line.ended()
    wait_until(lambda: not list(tmp_path.iterdir()))
    wait_until(lambda: not list(processes_with(there.directory.name)))


def _sampler_waits(name: str) -> bool:
    """It sleeps in a write to its full pipe."""
    (pid,) = processes_with(f"{name}/harness.pyz\0sampler")
    return Path(f"/proc/{pid}/wchan").read_text() in ("pipe_write", "anon_pipe_write")


def test_when_home_never_comes_back_it_ends_and_removes_itself(tmp_path: Path) -> None:
    there = kept(HERE, silence_s=0.5, grace_s=1.5)
    line = KeptLine(there.link)
    line.until(kind("up"))
    line.sampler(50)
    line.until(is_tick)
    line.process.kill()
    line.ended()
    wait_until(lambda: not list(tmp_path.iterdir()))
    wait_until(lambda: not list(processes_with(there.directory.name)))


def test_when_home_never_came_at_all_it_removes_itself(tmp_path: Path) -> None:
    kept(HERE, grace_s=0.5)
    wait_until(lambda: not list(tmp_path.iterdir()))


def test_a_line_to_nobody_says_that_it_is_gone(tmp_path: Path) -> None:
    there = kept(HERE, grace_s=0.2)
    wait_until(lambda: not list(tmp_path.iterdir()))
    (tmp_path / there.directory.name).mkdir()
    archive = tmp_path / there.directory.name / "harness.pyz"
    from harness.targets.connectors.archive import archive as made

    archive.write_bytes(made())
    line = KeptLine(there.link)
    assert "nothing of the run is left" in line.until(kind("gone"))["why"]
    assert line.ended() == 3


def test_a_command_that_is_no_keeper_is_given_up(tmp_path: Path) -> None:
    line = KeptLine(["sh", "-c", "echo Welcome; echo no such thing >&2"], give_up_s=1.0)
    assert "no connection" in line.until(kind("gone"))["why"]
    assert line.ended() == 3


def test_a_killed_sampler_is_reported_with_what_it_complained_about(tmp_path: Path) -> None:
    there = kept(HERE)
    line = KeptLine(there.link)
    line.sampler(1000)
    line.until(is_tick)
    line.tell("sampler", cmd="nonsense")
    news = line.until(lambda m: m["k"] == "said" and m["by"] == "-")
    assert news["m"]["code"] == 2
    assert "nonsense" in news["m"]["complaints"]
    assert line.end() == 0


def test_what_a_killed_keeper_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    there = kept(HERE)
    (keeper,) = processes_with(f"keep\0{there.directory}")
    os.kill(keeper, signal.SIGKILL)
    left = tmp_path / there.directory.name
    assert left.is_dir()
    os.utime(left, (0, 0))
    line = KeptLine(kept(HERE).link)
    assert not left.exists()
    assert line.end() == 0
    assert not list(tmp_path.iterdir())


def test_of_a_killed_keeper_nothing_is_left_either(tmp_path: Path) -> None:
    """Its programs end with their standard input; the next connection finds that out, and removes the directory."""
    there = kept(HERE)
    line = KeptLine(there.link)
    line.sampler(50)
    line.until(is_tick)
    (keeper,) = processes_with(f"keep\0{there.directory}")
    os.kill(keeper, signal.SIGKILL)
    assert "nothing of the run is left" in line.until(kind("gone"))["why"]
    assert line.ended() == 3
    assert not list(processes_with(there.directory.name))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_there_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        monkeypatch.setenv("TMPDIR", str(place))
        with pytest.raises(TargetError, match="No space left on device"):
            kept(HERE)
        assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_there_costs_sweeps_and_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit on the disk waits in memory, then in the sampler, which says what it missed."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", place], check=True)
    try:
        monkeypatch.setenv("TMPDIR", str(place))
        there = kept(HERE)
        line = KeptLine(there.link)
        line.until(kind("up"))
        line.sampler(1)
        line.until(is_tick)
        line.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: _sampler_waits(there.directory.name))
        line.process.send_signal(signal.SIGCONT)
        line.until(lambda m: is_tick(m) and m["m"]["missed"] > 5)
        assert line.end() == 0
        sweeps_are_whole(line.ticks(), 1)
        assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    "frame",
    ["M 1 sampler 1,\"k\":\"over\"", "M 1 sampler {}\\nM 3 sampler {}", "H 0", "A 99", "H 7", "M 1 a\"b {}", "M 1 sampler []",
     "Q 1 9223372036854775808 1", "M 1 sampler 1},\"k\":\"gone\",\"x\":{\"y\":1"],
)  # fmt: skip
def test_what_no_keeper_says_does_not_pass_for_what_the_line_says(frame: str) -> None:
    """The other end is anybody's: all it can have is that its own words are passed on as its words."""
    line = KeptLine(["sh", "-c", f"printf '%s\\n' 'H 0'; printf '{frame}\\n'; sleep 60"], give_up_s=1.0)
    line.until(lambda m: m["k"] == "gone")
    assert {m["k"] for m in line.said} <= {"said", "gone"}
    assert line.said[-1]["why"] in ("no connection for 1 s", "the other end said something that is no message")
    assert line.ended() == 3


@pytest.mark.parametrize("end", [[], ["end"]])
def test_a_container_that_was_started_anew_has_nothing_of_the_run(tmp_path: Path, end: list[str]) -> None:
    """Not even the program that would say so."""
    gone = Deployed(PurePosixPath(tmp_path / "harness-gone"), sys.executable, 0, "/", {})
    done = HERE.run([*gone.link, *end])
    assert (done.code, done.last_words) == (NOBODY, "nothing of the run is left there")
    assert deploy.NOBODY == NOBODY
