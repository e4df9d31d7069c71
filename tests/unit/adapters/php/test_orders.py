"""Which wait a process is in, as the kernel says it, and who is told. Real scripts: tests/integration/test_php_workers.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import wait_for

from adapters.php import orders
from harness.clock import SystemClock
from harness.plugins import orders as plugin_orders
from harness.plugins.spec import FloorDepth

# Takes the signal and then does as it is told: "sleep", "read" or "spin".
PROGRAM = f"""
import signal, sys, time
signal.signal({plugin_orders.NUMBER}, lambda *_: print("told", flush=True))
print("ready", flush=True)
while sys.argv[1] == "sleep":
    time.sleep(30)
while sys.argv[1] == "spin":
    pass
sys.stdin.readline()
"""


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("text", "machine", "wait"),
    [
        ("running\n", "x86_64", orders.RUNNING),
        ("-1 0x7ffd 0x7f\n", "x86_64", orders.RUNNING),
        ("230 0x0 0x0 0x7ffef\n", "x86_64", "clock_nanosleep"),
        ("270 0x4 0x0\n", "x86_64", "pselect6"),
        ("115 0x0\n", "aarch64", "clock_nanosleep"),
        ("230 0x0\n", "riscv64", "system call 230"),
        ("999 0x0\n", "x86_64", "system call 999"),
        ("", "x86_64", None),
        ("nonsense\n", "x86_64", None),
        ("\xff\n", "x86_64", None),
    ],
)
def test_what_the_kernel_says(tmp_path: Path, text: str, machine: str, wait: str | None) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "syscall").write_text(text, "latin-1")
    assert orders.waits_in(7, tmp_path, machine) == wait


def test_a_process_that_is_gone_waits_in_nothing_known(tmp_path: Path) -> None:
    assert orders.waits_in(7, tmp_path) is None


@pytest.mark.parametrize("program", ["sleep"], indirect=True)
def test_who_sleeps_is_told(tmp_path: Path, program: subprocess.Popen[str]) -> None:
    order = tmp_path / "order"
    at = time.monotonic_ns()
    assert orders.ask(order, 7, FloorDepth.COLLECT, [program.pid], SystemClock()) == [program.pid]
    number, verb, depth, until = order.read_text().split()
    assert (number, verb, depth) == ("7", "floor", "collect")
    assert int(until) >= at + plugin_orders.ANSWER_WITHIN_NS
    assert program.stdout is not None
    assert program.stdout.readline() == "told\n"


@pytest.mark.parametrize(
    ("program", "why"),
    [("read", "waits in read, and would answer with its next job only"), ("spin", "was computing all the while")],
    indirect=["program"],
)
def test_who_does_not_sleep_is_waited_for_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: subprocess.Popen[str], why: str
) -> None:
    monkeypatch.setattr(orders, "PATIENCE_NS", 50_000_000)
    wait_for(lambda: orders.waits_in(program.pid) in ("read", orders.RUNNING), "its wait")
    assert orders.ask(tmp_path / "order", 7, FloorDepth.LOOK, [program.pid], SystemClock()) == []
    assert why in orders.explain(program.pid)
    program.kill()
    assert program.stdout is not None
    assert program.stdout.read() == ""


def test_who_takes_no_orders_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "PATIENCE_NS", 3600 * 10**9)
    with subprocess.Popen(["sleep", "60"]) as process:
        assert orders.ask(tmp_path / "order", 7, FloorDepth.LOOK, [process.pid, 2**22 + 1], SystemClock()) == []
        assert "no pcntl extension" in orders.explain(process.pid)
        process.kill()
    assert orders.explain(process.pid) == "the script ended"


def test_what_cannot_be_seen_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_orders, "takes_orders", lambda pid: True)
    for wait, why in {
        None: "cannot be seen", "clock_nanosleep": "slept only after", "msgrcv": "interrupt that with an error",
        "system call 999": "interrupt that with an error",
    }.items():  # fmt: skip
        monkeypatch.setattr(orders, "waits_in", lambda pid, wait=wait: wait)
        assert why in orders.explain(os.getpid())
