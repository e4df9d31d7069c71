"""Asks long-lived PHP scripts how their memory stands, at a moment when a signal does not disturb them.

A signal ends select(), poll() and their like with EINTR whatever flags its handler has, and PHP passes that on: stream_select(),
stream_socket_accept() and msg_receive() fail with a warning. So a process is told only while it sleeps: a sleep that ends
early makes a worker look for jobs early. Waits that the kernel starts again (reading a pipe, wait4, flock) do no harm
either, but PHP runs no code before they end, so nobody would answer; such a process is not told (docs/php.md has the table).

Between look and signal some microseconds pass, in which a process may wake up and begin to wait otherwise.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.clock import Clock
from harness.plugins import orders
from harness.plugins.spec import FloorDepth

PATIENCE_NS = 500_000_000  # jobs between rounds are over, and who sleeps at all sleeps most of the time
_STEP_S = 0.01
_SLEEP = frozenset({"nanosleep", "clock_nanosleep"})
_NAMES: Mapping[str, Mapping[int, str]] = {
    "x86_64": {0: "read", 7: "poll", 23: "select", 35: "nanosleep", 43: "accept", 45: "recvfrom", 47: "recvmsg", 61: "wait4",
               65: "semop", 70: "msgrcv", 73: "flock", 202: "futex", 220: "semtimedop", 230: "clock_nanosleep",
               232: "epoll_wait", 257: "openat", 270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4"},
    "aarch64": {22: "epoll_pwait", 32: "flock", 56: "openat", 63: "read", 72: "pselect6", 73: "ppoll", 98: "futex",
                101: "nanosleep", 115: "clock_nanosleep", 188: "msgrcv", 192: "semtimedop", 193: "semop", 202: "accept",
                207: "recvfrom", 212: "recvmsg", 242: "accept4", 260: "wait4"},
}  # fmt: skip
_RESTARTED = frozenset({"read", "accept", "accept4", "recvfrom", "recvmsg", "wait4", "flock", "futex", "openat"})
RUNNING = "running"


def ask(path: Path, number: int, depth: FloorDepth, pids: Iterable[int], clock: Clock) -> list[int]:
    """Write the order and tell each process as soon as it sleeps, for at most half a second; who was told. OSError when the order
    cannot be written."""
    orders.write(path, number, "floor", f"{depth.value} {clock.monotonic_ns() + PATIENCE_NS + orders.ANSWER_WITHIN_NS}")
    left, told = list(pids), []
    deadline_ns = clock.monotonic_ns() + PATIENCE_NS
    while left:
        told += [pid for pid in left if orders.tell(pid, sleeps)]
        left = [pid for pid in left if pid not in told and _may_sleep_later(pid)]
        if clock.monotonic_ns() >= deadline_ns:
            break
        if left:
            clock.sleep(_STEP_S)
    return told


def sleeps(pid: int) -> bool:
    """Whether a process sleeps at this moment."""
    return waits_in(pid) in _SLEEP


def waits_in(pid: int, proc: Path = Path("/proc"), machine: str | None = None) -> str | None:
    """The system call a process's main thread waits in, by name or as ``system call 42``; `RUNNING`, or None: not to be seen."""
    try:
        word = (proc / str(pid) / "syscall").read_text("ascii").split()[0]
    except (OSError, IndexError, ValueError):
        return None
    if word == RUNNING:
        return RUNNING
    try:
        number = int(word)
    except ValueError:
        return None
    if number < 0:
        return RUNNING  # stopped outside of a system call
    return _NAMES.get(machine or platform.machine(), {}).get(number, f"system call {number}")


def explain(pid: int) -> str:
    """Why a process with the agent was not told, and what to do."""
    try:
        if not orders.takes_orders(pid):
            return (
                "the script takes no orders: this PHP has no pcntl extension, disable_functions forbids it, or the application "
                "took the signal for itself; its heap is read from outside all the same"
            )
    except OSError:
        return "the script ended"
    wait = waits_in(pid)
    outside = "its heap is read from outside, which disturbs nobody"
    if wait is None:
        return f"what the script waits in cannot be seen (/proc/PID/syscall), so it is not asked; {outside}"
    if wait == RUNNING:
        return f"the script was computing all the while, and is asked only while it sleeps; {outside}"
    if wait in _SLEEP:
        return f"the script slept only after it had been waited for; {outside}"
    if wait in _RESTARTED:
        return f"the script waits in {wait}, and would answer with its next job only; {outside}"
    return f"the script waits in {wait}, and asking would interrupt that with an error; {outside}"


def _may_sleep_later(pid: int) -> bool:
    try:
        return orders.takes_orders(pid)
    except OSError:
        return False
