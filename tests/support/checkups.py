"""Check-ups made up for tests of ``harness.doctor``: a machine, a subject, what the sampler may have said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.doctor.model import Clock, Group, Kind, Line, Looked, Machine, Place, State, Subject
from harness.doctor.observe import Observation
from harness.doctor.signals import OTHERS, OWN

_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
ALL_CAPABILITIES = (1 << 41) - 1
MACHINE = Machine(
    uid=1000, user="ada", capabilities=0, kernel="6.1.0-18-amd64", options={}, ptrace_scope=None, hidepid=False,
    host_namespaces=True, sudo=True, systemd=True, user_systemd=True, container=False, cgroup="", cgroup_place="/sys/fs/cgroup",
    cgroup_version=2, clock=Clock("tsc", ("tsc", "hpet"), 30, 20), place=Place(Path("/srv"), True, 1 << 40, 1 << 20),
)  # fmt: skip
AGAIN = "harness run shop.yaml"


def yama_forbids(uid: int) -> bool:
    """Whether this kernel keeps a user from the memory of his own processes (unless they are below the reader)."""
    return uid != 0 and _YAMA.exists() and _YAMA.read_text().strip() != "0"


def machine(**changes: Any) -> Machine:
    return replace(MACHINE, **changes)


def root(**changes: Any) -> Machine:
    return machine(**{"uid": 0, "user": "root", "capabilities": ALL_CAPABILITIES, **changes})


def target(*processes: Looked) -> Subject:
    return Subject(Kind.TARGET, "a target", AGAIN, processes, len(processes))


def this_machine() -> Subject:
    return Subject(
        Kind.MACHINE, "this machine and user", AGAIN, (Looked(10, OWN, 1000), Looked(11, OTHERS, 1000)), 2
    )  # fmt: skip


COLUMNS = ("process.memory.rss", "process.memory.pss", "process.memory.hwm", "process.fds")


def observation(*pids: int, without: tuple[int, ...] = (), **changes: Any) -> Observation:
    """Everything is read of ``pids``, but of those ``without`` only what everybody may read."""
    public = {"process.memory.rss": 1, "process.memory.hwm": 1}
    seen = Observation(
        columns={pid: dict.fromkeys(COLUMNS, None if pid in without else 1) | public for pid in pids},
        more={pid: {"process.smaps.heap.pss"} for pid in pids if pid not in without},
        runtimes={
            pid: {"python": {"version": "3.11.2", "layout": "3.11.2 (same size)"}, "native": {}}
            for pid in pids
            if pid not in without
        },
        system={"system.swap.size": 0, "system.swap.used": 0, "cgroup.app.memory.current": 1},
        facts={"numa.nodes": 1},
        deep=True,
    )
    return replace(seen, **changes)


ONE_OF_EACH = (
    Group(
        "kernel",
        (
            Line("a", State.OK, "it is there"),
            Line("b", State.PARTLY, "of some", "less", "sudo harness"),
            Line("c", State.MISSING, "no permission", "nothing", "sudo harness"),
            Line("d", State.NONE, "no swap"),
            Line("e", State.UNCHECKED, "not reached"),
        ),
    ),
)
