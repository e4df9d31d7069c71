"""``harness top`` on real processes: a pre-forked pool that shares memory, growth on command, no rights, a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from processes import DEADLINE_S

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
MIB = 1 << 20
TOP = [sys.executable, "-m", "harness", "top"]
SHARED, OWN, WORKERS = 64, 16, 3

# A master with three workers, and a mapping they share. `fill` makes all of them touch all of it, and each its own memory.
PREFORK = f"""
import mmap, os, sys
shared = mmap.mmap(-1, {SHARED * MIB})
held = []
def fill():
    for at in range(0, len(shared), 4096): shared[at] = 1
    own = mmap.mmap(-1, {OWN * MIB}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(own), 4096): own[at] = 1
    held.append(own)
workers = []
for _ in range({WORKERS}):
    order, orders = os.pipe()
    answers, answer = os.pipe()
    if os.fork() == 0:
        os.close(orders)
        os.write(answer, b"x")
        while os.read(order, 1):
            fill()
            os.write(answer, b"x")
        os._exit(0)
    os.close(order)
    assert os.read(answers, 1) == b"x"
    workers.append((orders, answers))
print("ready", flush=True)
for line in sys.stdin:
    for orders, answers in workers:
        os.write(orders, b"x")
        assert os.read(answers, 1) == b"x"
    fill()
    print("filled", flush=True)
"""

GROWING = """
import mmap, sys
held = []
print("ready", flush=True)
for line in sys.stdin:
    own = mmap.mmap(-1, int(line), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(own), 4096): own[at] = 1
    held.append(own)
    print("grown", flush=True)
"""


class Specimen:
    """A program in a file of its own name that obeys lines and answers each."""

    def __init__(self, path: Path, program: str) -> None:
        path.write_text(program)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=path.parent,
        )
        self.pid = self.process.pid
        self._answer("ready")

    def tell(self, command: str, expected: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self._answer(expected)

    def _answer(self, expected: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == expected + "\n"


@pytest.fixture
def specimen(tmp_path: Path) -> Iterator[Callable[[str, str], Specimen]]:
    started: list[Specimen] = []

    def start(name: str, program: str) -> Specimen:
        started.append(Specimen(tmp_path / name, program))
        return started[-1]

    yield start
    for each in started:
        with each.process:  # closes its stdin, which ends it and, as their pipes close with it, its workers
            each.process.kill()


def top(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([*TOP, "--json", *arguments], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def test_a_pool_is_as_large_as_what_it_has_touched(specimen: Callable[[str, str], Specimen]) -> None:
    """Its PSS grows by the shared mapping once and by everybody's own memory; its RSS counts the mapping four times.

    The tolerance is the interpreters' own memory around it; their share of its files changes with every other Python here.
    """
    name = f"shop-{os.getpid()}.py"
    master = specimen(name, PREFORK)
    arguments = ["--by", "pool", "--over", "0", "--match", name]
    (before,) = top(*arguments)["rows"]
    assert (before["pid"], before["processes"], before["unreadable"]) == (master.pid, 1 + WORKERS, 0)
    assert before["name"].endswith(name)
    master.tell("fill", "filled")
    (after,) = top(*arguments)["rows"]
    assert after["pss_bytes"] - before["pss_bytes"] == pytest.approx((SHARED + 4 * OWN) * MIB, abs=8 * MIB)
    assert after["uss_bytes"] - before["uss_bytes"] == pytest.approx(4 * OWN * MIB, abs=MIB)
    assert after["rss_bytes"] - before["rss_bytes"] == pytest.approx(4 * (SHARED + OWN) * MIB, abs=8 * MIB)
    processes = top("--over", "0", "--match", name)
    assert sum(row["pss_bytes"] for row in processes["rows"]) == processes["totals"]["pss_bytes"]
    assert processes["totals"]["pss_bytes"] == pytest.approx(after["pss_bytes"], abs=8 * MIB)
    for row in processes["rows"]:
        assert row["uss_bytes"] == pytest.approx(OWN * MIB, rel=0.5)
        assert row["pss_bytes"] >= row["uss_bytes"] + SHARED * MIB // 4


def test_growth_on_command_is_seen_and_an_idle_process_does_not_grow(specimen: Callable[[str, str], Specimen]) -> None:
    name = f"growing-{os.getpid()}"
    growing, idle = specimen(name + "-1.py", GROWING), specimen(name + "-2.py", GROWING)
    command = [*TOP, "--json", "--live", "--interval", "200ms", "--over", "1h", "--budget", "100%", "--match", name]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    try:
        assert live.stdout is not None
        first = json.loads(live.stdout.readline())
        assert {row["growth_bytes_per_minute"] for row in first["rows"]} == {None}
        growing.tell(str(32 * MIB), "grown")
        seen: dict[str, Any] = {"growth_over_s": 0}
        while seen["growth_over_s"] < 2:  # long enough for the order in which processes are walked not to matter
            seen = json.loads(live.stdout.readline())
        rows = {row["pid"]: row for row in seen["rows"]}
        grown = rows[growing.pid]["growth_bytes_per_minute"] * seen["growth_over_s"] / 60
        assert grown == pytest.approx(32 * MIB, rel=0.3)
        assert rows[growing.pid]["growth_of"] == "pss"
        assert abs(rows[idle.pid]["growth_bytes_per_minute"]) < rows[growing.pid]["growth_bytes_per_minute"] / 10
    finally:
        live.send_signal(signal.SIGKILL)
        with live:
            pass


UNPRIVILEGED = """
import importlib, os, pkgutil, sys
import harness.top
from harness import cli
for module in pkgutil.iter_modules(harness.top.__path__, "harness.top."):
    importlib.import_module(module.name)
importlib.import_module("harness.cli.top")
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.invoke(["top", "--over", "0", *sys.argv[1:]]))
"""


def unprivileged(*arguments: str) -> str:
    """What somebody sees who may not look into this process; modules are imported while that is still allowed."""
    command = [sys.executable, "-c", UNPRIVILEGED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_without_rights_pss_is_unknown_and_a_line_says_so() -> None:
    text = unprivileged()
    (row,) = [
        line.split() for line in text.splitlines() if re.search(r" 1 \S", line) and " root " in line and "?" in line
    ][:1]
    assert row[:2] == ["?", "?"]
    assert re.search(r"^\? PSS and USS of \d+ process(es)? may not be read .*: run it with sudo", text, re.MULTILINE)
    data = json.loads(unprivileged("--json"))
    hidden = [row for row in data["rows"] if row["unreadable"]]
    assert hidden
    assert {row["pss_bytes"] for row in hidden} == {None}
    assert all(row["rss_bytes"] > 0 for row in hidden)
    assert data["totals"]["pss_bytes"] is None
    assert data["totals"]["unreadable"] == len(hidden)
    assert [row for row in data["rows"] if row["pss_bytes"] is not None], "its own process can be read"
    assert {part["id"] for part in data["used"]["parts"]} >= {"processes", "other-anonymous", "slab"}


# Plays the shell: gives the terminal to its child, and says on the descriptor named first what becomes of it.
SHELL = """
import fcntl, os, signal, subprocess, sys, termios
report = int(sys.argv[1])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def child_signals():
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.setpgid(0, 0)
child = subprocess.Popen(sys.argv[2:], preexec_fn=child_signals)
os.tcsetpgrp(0, child.pid)
os.write(report, b"pid %d\\n" % child.pid)
while True:
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status): break
    os.write(report, b"stopped\\n")
child.returncode = os.waitstatus_to_exitcode(status)
os.write(report, b"exit %d\\n" % child.returncode)
"""


class Terminal:
    """A pseudo-terminal with `harness top --live` in its foreground."""

    def __init__(self, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 90)
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        report, said = os.pipe()
        self.events = os.fdopen(report)
        command = [sys.executable, "-c", SHELL, str(said), *TOP, "--live", "--interval", "300ms", *arguments]
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, pass_fds=[said], start_new_session=True,
            cwd=CHECKOUT, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(said)
        self.pid = int(self.event("pid"))

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def event(self, word: str) -> str:
        said, _, rest = self.events.readline().strip().partition(" ")
        assert said == word
        return rest

    def until(self, text: str) -> str:
        """Read the screen until the text appears; what came up to it is taken away."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear after {self.seen[-500:]!r}"
            self.seen += os.read(self.master, 1 << 16).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def assert_restored(self) -> None:
        self.until("\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.events.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_keys_change_the_live_view_and_q_gives_the_terminal_back(terminal: Terminal) -> None:
    terminal.until("\x1b[?1049h")
    terminal.until("COMMAND")
    assert termios.tcgetattr(terminal.slave)[3] & termios.ICANON == 0
    terminal.type("2")
    terminal.until("POOL (ITS MASTER)")
    terminal.type("\x1b[1~")  # Home: its digit is no key
    terminal.type("4g")
    terminal.until("PROCS")
    terminal.until("q quit")
    terminal.resize(4, 20)
    terminal.until("PSS")
    terminal.type("q")
    assert terminal.event("exit") == "0"
    terminal.assert_restored()


@pytest.mark.parametrize("how", ["Ctrl-C", "TERM", "HUP"])
def test_however_it_ends_the_terminal_is_given_back(terminal: Terminal, how: str) -> None:
    terminal.until("q quit")
    if how == "Ctrl-C":
        terminal.type("\x03")
    else:
        os.kill(terminal.pid, getattr(signal, "SIG" + how))
    assert terminal.event("exit") == "130"
    terminal.assert_restored()


def test_ctrl_z_gives_the_terminal_back_until_it_is_continued(terminal: Terminal) -> None:
    terminal.until("q quit")
    terminal.type("\x1a")
    terminal.event("stopped")
    terminal.assert_restored()
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.until("\x1b[?1049h")
    terminal.until("q quit")
    terminal.type("q")
    assert terminal.event("exit") == "0"
    terminal.assert_restored()


def test_live_without_a_terminal_is_one_table_after_the_other() -> None:
    live = subprocess.Popen([*TOP, "--live", "--interval", "200ms"], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    try:
        assert live.stdout is not None
        headings = 0
        for line in live.stdout:
            assert "\x1b" not in line
            headings += line.split()[:2] == ["PSS", "USS"]
            if headings == 3:
                break
        live.terminate()
    finally:
        live.kill()
        with live:
            pass
    assert headings == 3
