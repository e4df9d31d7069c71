"""``harness watch`` on real processes: every way to name them, every way to end, on a terminal and without one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from on_terminal import ended, on_a_terminal
from processes import DEADLINE_S, Harness, free_port, harness, wait_for
from screen import Terminal

from harness.model.run import RunStatus
from harness.model.span import PhaseName
from harness.scenario.schema import Scenario
from harness.store.reader import read_run
from harness.targets.detect import listening_ports

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).parents[1] / "programs" / "prefork_tree.py"


@dataclasses.dataclass
class Tree:
    """A pre-forked server of somebody else's."""

    process: subprocess.Popen[str]
    workers: list[int]
    port: int
    name: str  # part of its command line and of nobody else's

    @property
    def pids(self) -> set[int]:
        return {self.process.pid, *self.workers}

    def order(self, text: str) -> list[str]:
        """Tell it something; its answer, in words."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def replace(self) -> tuple[int, int]:
        """End the oldest worker, fork another: (old pid, new pid)."""
        _, old, new = self.order("replace")
        self.workers = [*self.workers[1:], int(new)]
        return int(old), int(new)

    def assert_untouched(self) -> None:
        """All of it is alive, runs, and answers."""
        assert self.process.poll() is None
        for pid in self.pids:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            assert state in (b"S", b"R", b"D"), f"{pid} is {state!r}"
            assert "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text()
        assert self.order("grow 1000") == ["grown"]


@contextmanager
def prefork(directory: Path, workers: int = 3, name: str = "") -> Iterator[Tree]:
    """The server, ready. Its script is a copy with a name of its own, so that only it matches."""
    port = free_port()
    name = name or f"shop{port}.py"
    script = directory / name
    script.write_text(PROGRAM.read_text())
    command = [sys.executable, str(script), str(workers), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready, master, *pids = process.stdout.readline().split()
        assert (ready, int(master)) == ("ready", process.pid)
        try:
            yield Tree(process, [int(pid) for pid in pids], port, name)
        finally:
            if not process.stdin.closed:
                process.stdin.close()
            process.wait(DEADLINE_S)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with prefork(tmp_path) as running:
        yield running


def watch(tmp_path: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Run it to its end: exit code, stdout, stderr."""
    with harness("watch", *arguments, cwd=tmp_path) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    return code, out, err


# --- what is watched, and what comes of it --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["pid", "port", "name"])
def test_a_pre_forked_tree_by_pid_port_and_name(way: str, tree: Tree, tmp_path: Path) -> None:
    """Numbers are bare where they can only be the one: the tests of resolving have the other cases."""
    pid_is_port = tree.process.pid in listening_ports()
    port_is_pid = Path(f"/proc/{tree.port}").exists()
    target = {
        "pid": f"{'pid:' if pid_is_port else ''}{tree.process.pid}",
        "port": f"{'port:' if port_is_pid else ''}{tree.port}",
        "name": tree.name,
    }[way]
    code, out, err = watch(tmp_path, target, "--for", "8s", "--interval", "200ms")
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert {info.key.pid for info in raw.processes} == tree.pids
    assert {info.pool for info in raw.processes} == {tree.name}
    assert raw.manifest.status is RunStatus.COMPLETE
    assert raw.spans == []
    complete = [w for w in raw.windows if w.phase is PhaseName.ROUNDS and w.floor_ns is not None]
    assert len(complete) >= 7
    measured = {key.pid for metric, key in raw.series if metric == "process.memory.pss" and key is not None}
    assert measured == tree.pids
    tree.assert_untouched()


def test_every_command_can_read_the_run_and_see_the_growth(tree: Tree, tmp_path: Path) -> None:
    """Each time a slice ends the workers take 2 MB more: a steady growth, whatever the machine's speed."""
    with harness("watch", tree.name, "--for", "15s", "--interval", "200ms", cwd=tmp_path) as run:
        while "stopping" not in (line := run.read_until("] ")):
            if "watched for" in line:
                assert tree.order("grow 2000000") == ["grown"]
        code, out, err = run.finish()
    assert code == 0, err
    directory = Path(out.splitlines()[-1])
    assert "report.html" in out
    report = json.loads((directory / "report.json").read_text())
    assert report["verdict"]["cause"].startswith("leak"), report["verdict"]
    assert report["findings"][0]["subject"]["pool"] == tree.name
    assert {w["pid"] for w in report["workers"]} == tree.pids
    page = (directory / "report.html").read_text()
    assert 'id="series"' in page
    for form in ("text", "json", "md", "html"):
        with harness("report", directory, "--format", form, cwd=tmp_path) as again:
            assert again.finish()[0] == 0
    scenario = Scenario.model_validate(read_run(directory).manifest.scenario)
    assert scenario.target is not None
    assert scenario.target.attach is not None
    assert scenario.target.attach.pid == tree.process.pid, "and a scenario that repeats it"


def test_a_name_that_several_families_have(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with prefork(tmp_path / "b", workers=1, name=f"b-{tree.name}") as other:
        code, out, err = watch(tmp_path, tree.name, "--for", "1s")
        assert (code, out) == (2, "")
        assert f"pid:{tree.process.pid}" in err
        assert f"pid:{other.process.pid}" in err
        assert f"listens on {other.port}" in err
        assert "--all" in err
        assert not (tmp_path / "runs").exists()
        code, out, err = watch(tmp_path, tree.name, "--all", "--for", "2s", "--interval", "100ms")
        assert code == 0, err
        raw = read_run(Path(out.splitlines()[-1]))
        assert {info.pool: {i.key.pid for i in raw.processes if i.pool == info.pool} for info in raw.processes} == {
            tree.name: tree.pids,
            other.name: other.pids,
        }


def test_nothing_of_that_name(tmp_path: Path) -> None:
    with prefork(tmp_path, workers=1, name="bookshop.py"):
        code, out, err = watch(tmp_path, "bokshop.py")
    assert (code, out) == (3, "")
    assert "no process matches 'bokshop.py'" in err
    assert "bookshop.py (pid " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--for", "5"), "--for: '5' is not a duration"),
        (("--for", "0s"), "must be at least 1.0 s"),
        (("--interval", "1ms"), "--interval '1ms': must be at least 100.0 ms"),
        (("--budget", "much"), "--budget: 'much' is not a share"),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    code, out, err = watch(tmp_path, f"pid:{os.getpid()}", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert not (tmp_path / "runs").exists()


# --- ways to end ----------------------------------------------------------------------------------------------------


def test_ctrl_c_seals_a_run_and_prints_its_summary(tree: Tree, tmp_path: Path) -> None:
    with harness("watch", tree.name, "--interval", "100ms", cwd=tmp_path) as run:
        run.read_until("watched for")
        run.process.send_signal(signal.SIGINT)
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 130
    assert "stopped; what was recorded is kept" in err
    assert "error" not in err
    directory = Path(out.splitlines()[-1])
    assert len(out.splitlines()) > 3, "the summary comes first"
    raw = read_run(directory)
    assert raw.manifest.status is RunStatus.INTERRUPTED
    assert raw.manifest.ended_ns is not None
    assert raw.manifest.scenario["load"] == {"observe": None}
    assert (directory / "report.html").exists()
    tree.assert_untouched()


def test_the_target_ends(tree: Tree, tmp_path: Path) -> None:
    with harness("watch", f"port:{tree.port}", "--interval", "100ms", cwd=tmp_path) as run:
        run.read_until("attached to pid")
        assert tree.process.stdin is not None
        tree.process.stdin.close()
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 3
    assert "the process attached to is gone" in err
    directory = Path(out.splitlines()[-1])
    raw = read_run(directory)
    assert raw.manifest.status is RunStatus.FAILED
    assert raw.manifest.ended_ns is not None
    assert {info.key.pid for info in raw.processes} == tree.pids
    with harness("report", directory, cwd=tmp_path) as again:
        assert again.finish()[0] == 0


def test_a_worker_that_is_replaced_is_followed(tree: Tree, tmp_path: Path) -> None:
    with harness("watch", tree.name, "--interval", "100ms", cwd=tmp_path) as run:
        run.read_until("attached to pid")
        old, new = tree.replace()
        run.read_until("watched for")
        run.process.send_signal(signal.SIGINT)
        _, out, _ = run.finish()
    lives = {info.key.pid: info.ended_ns for info in read_run(Path(out.splitlines()[-1])).processes}
    assert lives[old] is not None
    assert lives[new] is None


def test_a_killed_watch_leaves_a_readable_run_no_process_and_the_target_alone(tree: Tree, tmp_path: Path) -> None:
    with harness("watch", tree.name, "--interval", "100ms", cwd=tmp_path) as run:
        run.read_until("watched for")
        run.process.kill()
        run.finish()
        run.assert_nothing_left()
    tree.assert_untouched()
    (directory,) = (tmp_path / "runs").iterdir()
    assert any(metric == "process.memory.pss" for metric, _ in read_run(directory).series)
    with harness("report", directory, "--format", "json", cwd=tmp_path) as again:
        code, out, err = again.finish()
    assert code == 0, err
    assert {w["pid"] for w in json.loads(out)["workers"]} == tree.pids


# --- with and without a terminal ------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_plain_lines(tree: Tree, tmp_path: Path) -> None:
    _, _, err = watch(tmp_path, tree.name, "--for", "2s", "--interval", "100ms")
    assert f"{tree.name}: 4 processes" in err
    assert "watched for" in err
    assert all(line.startswith("[") for line in err.splitlines())
    assert "\x1b" not in err
    assert "\r" not in err


def test_quiet_and_unrecorded_say_and_write_nothing(tree: Tree, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert watch(tmp_path, tree.name, "--for", "2s", "--interval", "100ms", "--no-record", "-q") == (0, "", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    tree.assert_untouched()


def on_terminal(terminal: Terminal, cwd: Path, *arguments: str, **env: str) -> AbstractContextManager[Harness]:
    """``harness watch`` with the terminal as its stdin and stderr."""
    return on_a_terminal(terminal, cwd, "watch", *arguments, **env)


def test_the_view_is_drawn_in_place_and_the_terminal_is_as_it_was(
    tree: Tree, tmp_path: Path, terminal: Terminal
) -> None:
    modes = terminal.modes()
    with on_terminal(terminal, tmp_path, tree.name, "--interval", "100ms", "--no-record") as run:
        terminal.read_until(lambda s: "sweeps" in s.text and "available" in s.text, "the first frame")
        terminal.read_until(lambda s: "▁" in s.text and "PSS" in s.text, "sparklines")
        old, new = tree.replace()
        terminal.read_until(lambda s: f"started: {new}" in s.text and f"ended: {old}" in s.text, "the new worker")
        assert terminal.modes() == modes
        run.process.send_signal(signal.SIGINT)
        assert ended(terminal, run) == 130
    text = terminal.screen.text
    assert text.count("one CPU") == 1, "frames replace each other"
    assert text.count("watching until Ctrl-C") == 1
    assert terminal.modes() == modes
    assert not any(mode in terminal.raw for mode in ("\x1b[?", "\x1bc", "\x1b7")), "no mode was ever changed"
    assert "\x1b[" in terminal.raw
    tree.assert_untouched()


def test_a_small_terminal_that_changes_its_size(tree: Tree, tmp_path: Path, terminal: Terminal) -> None:
    with on_terminal(terminal, tmp_path, tree.name, "--interval", "100ms", "--no-record", LC_ALL="C") as run:
        terminal.read_until(lambda s: "swap out" in s.text, "the first frame")
        terminal.resize(40, 8)
        terminal.raw = ""
        terminal.read_until(lambda s: "~" in s.text, "a frame for 40 columns")
        drawn = terminal.raw.rpartition("\r")[2]
        assert drawn.isascii()
        assert drawn.count("\n") < 8
        terminal.resize(120, 40)
        terminal.read_until(lambda s: "swap out" in s.text.rpartition("machine")[2], "a frame for 120 columns")
        run.process.send_signal(signal.SIGTERM)
        assert ended(terminal, run) == 130


def test_after_a_stop_the_view_begins_below_what_the_shell_wrote(terminal: Terminal) -> None:
    """The program draws only when told, so it is surely not drawing while it is stopped."""
    command = [sys.executable, str(PROGRAM.with_name("live_view.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal.slave, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def frame() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("frame\n")
            process.stdin.flush()
            assert process.stdout.readline() == "drawn\n"

        try:
            frame()
            terminal.read_until(lambda s: "step 1" in s.text and "1 sweep," in s.text, "the first frame")
            process.send_signal(signal.SIGSTOP)
            stat = Path(f"/proc/{process.pid}/stat")
            wait_for(lambda: stat.read_bytes().rpartition(b")")[2].split()[0] == b"T", "it to stop")
            os.write(terminal.slave, b"\n[1]+  Stopped\n$ fg\n")
            process.send_signal(signal.SIGCONT)
            frame()
            frame()
            terminal.read_until(lambda s: "step 3" in s.text and "3 sweeps," in s.text, "the last frame")
            process.stdin.close()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    before, _, after = terminal.screen.text.partition("\n[1]+  Stopped\n$ fg\n")
    assert before.count("sampler:") == 1, "the old frame stays above"
    assert after.count("sampler:") == 1, "the new ones replace each other"
    assert "step 2" in after.splitlines()[0]


def test_plain_on_a_terminal_writes_lines_only(tree: Tree, tmp_path: Path, terminal: Terminal) -> None:
    with on_terminal(
        terminal, tmp_path, tree.name, "--for", "2s", "--interval", "100ms", "--plain", "--no-record"
    ) as run:
        assert ended(terminal, run) == 0
    assert "\x1b" not in terminal.raw
    assert "watched for" in terminal.screen.text


def test_a_hostile_name_reaches_neither_the_terminal_nor_the_page(tmp_path: Path, terminal: Terminal) -> None:
    """The screen refuses any control character that the driver does not need."""
    evil = "evil\x1b]0;owned\x07<img src=x onerror=alert(1)>.py"
    with (
        prefork(tmp_path, workers=2, name=evil) as tree,
        on_terminal(terminal, tmp_path, f"pid:{tree.process.pid}", "--for", "2s", "--interval", "100ms") as run,
    ):
        terminal.read_until(lambda s: "sweeps" in s.text, "a frame")
        assert ended(terminal, run) == 0
    (directory,) = (tmp_path / "runs").iterdir()
    page = (directory / "report.html").read_text()
    assert "\x1b" not in page
    assert "<img" not in page
    assert directory.name.isascii()
