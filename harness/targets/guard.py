"""The guard: a small process between the session and one launched program. ``python -m harness.targets.guard``.

It exists so that nothing is left behind however the session ends. It starts the program in a session (and process group) of
its own, adopts daemonised descendants as a child subreaper, and climbs the stop ladder over all of them when told to, or
when its stdin reaches end of file because the session is gone. If the guard itself is killed, the kernel sends the program
SIGTERM (PR_SET_PDEATHSIG), and the session, if alive, ends the group.

Protocol: docs/architecture.md, "Session <-> guard". Standard library only and Python 3.8, because it also goes to other hosts.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from harness.targets import own_cgroup
from harness.targets.own_cgroup import OwnCgroup

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
_PLAN_CAP = 4 << 20
_POLL_S = 0.05
_DAEMON_POLL_S = 1.0  # looking for daemons left behind reads all of /proc
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Guarded:
    """The launched program while it is being watched."""

    pid: int
    ended: bool = False
    stopping: bool = False
    listening: bool = True
    stops: int = 0  # orders to stop, or to go on to the next rung, not yet followed
    ladder: list[tuple[int, float]] = field(default_factory=list)


def main() -> int:
    """Read the plan from stdin, run it, and leave when the program and everything it started is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    line = sys.stdin.buffer.readline(_PLAN_CAP)
    if not line.endswith(b"\n"):
        return 0
    plan = json.loads(line)
    group, without = _group(plan.get("cgroup"))
    try:
        pid, outside = _spawn(plan["argv"], _environment(plan), plan["cwd"], plan["output"], group)
    except OSError as error:
        if group is not None:
            group.remove()
        _say(k="failed", text=f"{plan['argv'][0]}: {error.strerror or error}")
        return 0
    if group is not None and outside:
        group.remove()
        without = f"{group.path} could not be entered: {outside}"
        group = None
    _say(k="started", pid=pid, cgroup=None if group is None else str(group.path), without_cgroup=without)
    try:
        return _watch(Guarded(pid, ladder=[(int(n), float(s)) for n, s in plan["ladder"]]))
    finally:
        if group is not None:
            group.remove()


def _environment(plan: dict[str, Any]) -> dict[str, str]:
    """The plan's, whole; or where it says ``inherit``, this host's with the plan's in it (None removes)."""
    if not plan.get("inherit"):
        return {str(name): str(value) for name, value in plan["env"].items()}
    merged = {**os.environ, **plan["env"]}
    return {name: value for name, value in merged.items() if value is not None}


def _group(name: str | None) -> tuple[OwnCgroup | None, str]:
    """The cgroup that was asked for, or why there is none."""
    if name is None:
        return None, ""
    try:
        return own_cgroup.make(name), ""
    except own_cgroup.Refused as refusal:
        return None, str(refusal)


def _spawn(argv: list[str], env: dict[str, str], cwd: str, output: str, group: OwnCgroup | None) -> tuple[int, str]:
    """Fork and exec in a new session; OSError of the child's exec is raised here. Returns the pid, and why it is not in the
    group if it is not: then the kernel counts it where it counts us."""
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:  # the child: only async-signal-safe work, then exec or report errno
        error = OSError(0, "")
        try:
            os.setsid()
            _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)
            if group is not None:
                try:
                    group.enter()
                except OSError as refused:
                    os.write(report_write, json.dumps(["group", refused.errno, refused.strerror]).encode() + b"\n")
            os.chdir(cwd)
            log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, env)  # noqa: S606  # the user's own command
        except OSError as caught:
            error = caught
        os.write(report_write, json.dumps(["program", error.errno, error.strerror]).encode() + b"\n")
        os._exit(127)
    os.close(report_write)
    with os.fdopen(report_read, "rb") as report:
        failures = {what: (number, text) for what, number, text in map(json.loads, report)}
    if "program" in failures:
        os.waitpid(pid, 0)
        raise OSError(*failures["program"])
    return pid, failures["group"][1] if "group" in failures else ""


def _watch(guarded: Guarded) -> int:
    while True:
        _reap(guarded)
        if guarded.stopping:
            return _climb(guarded)
        if guarded.ended and not _family(guarded):
            return 0
        ready, _, _ = select.select([0], [], [], _DAEMON_POLL_S if guarded.ended else _POLL_S)
        if ready:
            _listen(guarded)
            guarded.stopping = not guarded.listening or guarded.stops > 0


def _climb(guarded: Guarded) -> int:
    """INT, TERM, KILL, each to the whole family, with a wait at each rung; another ``stop`` means: next rung now."""
    guarded.stops = max(0, guarded.stops - 1)
    for number, seconds in guarded.ladder:
        deadline = time.monotonic() + seconds
        _signal(guarded, _family(guarded), number)
        while time.monotonic() < deadline:
            _reap(guarded)
            if guarded.ended and not _family(guarded):
                return 0
            if number != signal.SIGKILL and guarded.stops > 0:
                guarded.stops -= 1
                break
            if not guarded.listening:
                time.sleep(_POLL_S)
            elif select.select([0], [], [], _POLL_S)[0]:
                _listen(guarded)
    return 0


def _listen(guarded: Guarded) -> None:
    """Take orders from stdin, each a short line written at once; its end means that the session is gone."""
    data = os.read(0, 65536)
    guarded.stops += data.count(b'"stop"')
    guarded.listening = bool(data)


def _signal(guarded: Guarded, family: set[int], number: int) -> None:
    if not guarded.ended:
        with contextlib.suppress(OSError):
            os.killpg(guarded.pid, number)
    for member in family:
        with contextlib.suppress(OSError):
            if guarded.ended or os.getpgid(member) != guarded.pid:
                os.kill(member, number)


def _reap(guarded: Guarded) -> None:
    """Collect dead children, adopted ones included, and report the program's own end once."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == guarded.pid:
            guarded.ended = True
            _say(k="exited", code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                 signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None, left=sorted(_family(guarded)))  # fmt: skip


def _family(guarded: Guarded) -> set[int]:
    """Living processes that belong to the program: everything below the guard, and while the program lives, its session
    and group. (Afterwards its pid, and so the number of its group, may be somebody else's.)"""
    parents: dict[int, int] = {}
    members: set[int] = set()
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] in {b"Z", b"X"}:
            continue
        parents[int(name)] = int(fields[1])
        if not guarded.ended and guarded.pid in (int(fields[2]), int(fields[3])):
            members.add(int(name))
    for member in parents:
        above = member
        while above in parents and above != own:
            above = parents[above]
        if above == own and member != own:
            members.add(member)
    return members


def _say(**line: object) -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
