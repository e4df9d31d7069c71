"""What gets a missing signal back on this machine: a command, a setting, or what it would take. Pure.

Nothing here is ever done by the harness itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.doctor.model import CAP_NET_ADMIN, CAP_SYS_PTRACE, Clock, FpmPool, Kind, Looked, Machine, Subject
from harness.model.event import Missing
from harness.sampling.groups import OURS_TOO
from harness.sampling.outside.python.layouts import COMMAND
from harness.sampling.sources import SYSTEM_SOURCES

NO_FIX = "none known; a run goes on without it"
_OLDER = re.compile(r"older than ([0-9.]+)")
_HEADERS_PLACE = "DIRECTORY_OF_ITS_HEADERS"
_HEADERS = "import sysconfig; print(sysconfig.get_path('include'))"
_KERNEL = {source().signal: source().fix for source in SYSTEM_SOURCES}
_INSIDE = (
    "let the harness start it (`harness init COMMAND`): the agent inside then tells what cannot be read from outside"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A missing signal, whom it is about, and the processes that lack it."""

    missing: Missing
    subject: Subject
    machine: Machine
    lacking: tuple[Looked, ...] = ()
    user: Callable[[int], str] = str  # name of a user by number
    psi: bool = False  # the machine's own pressure is to be had


def fix(case: Case) -> str:
    """One line; never empty."""
    signal = case.missing.signal
    for prefix, find in _BY_PREFIX:
        if signal == prefix or (prefix.endswith(".") and signal.startswith(prefix)):
            return find(case) or NO_FIX
    return NO_FIX


def as_root(case: Case) -> str:
    """The same command with all rights."""
    return with_rights(case.machine, case.subject.again)


def with_rights(machine: Machine, command: str) -> str:
    """As far as this machine has a way to get them."""
    return f"sudo {command}" if machine.sudo else f"as root: {command}"


# --- looking into processes -------------------------------------------------------------------------------------------


def _access(case: Case) -> str:
    """To read page tables, descriptors and mappings (PTRACE_MODE_READ)."""
    older = _OLDER.search(case.missing.reason)
    if older is not None:
        return f"Linux {older[1]} or later; this is {case.machine.kernel}"
    if not _forbidden(case):
        return ""
    if case.machine.uid == 0:
        return _as_capable(case, "SYS_PTRACE")
    return "; or ".join((as_root(case), *_as_owner(case)))


def _memory(case: Case) -> str:
    """To read memory, which Yama guards as well (PTRACE_MODE_ATTACH)."""
    scope, machine = case.machine.ptrace_scope, case.machine
    if scope == 3:
        return "kernel.yama.ptrace_scope is 3: nobody may look into a process until a boot without it"
    if machine.uid == 0:
        return _as_capable(case, "SYS_PTRACE")
    if not scope:
        return _access(case)
    forbids = "all but root" if scope == 2 else "all but root and a process's own ancestors"
    explained = (
        f"kernel.yama.ptrace_scope is {scope}, which keeps {forbids} from the memory of processes. "
        "`sysctl kernel.yama.ptrace_scope=0` would let every process of a user read and change all others of that user: "
        "an administrator's decision, which the harness never takes"
    )
    return f"{as_root(case)}  ({explained})"


def _forbidden(case: Case) -> bool:
    return "permission" in case.missing.reason


def _as_owner(case: Case) -> list[str]:
    """Ways that do without root: as the user that owns the process, and dumpable."""
    owners = {p.uid for p in case.lacking if p.uid is not None and p.uid not in (0, case.machine.uid) and p.fpm is None}
    ways = [
        f"sudo -u {shlex.quote(case.user(owner))} {case.subject.again}, if it has not changed its user"
        for owner in sorted(owners if case.machine.sudo else ())
    ]
    pools = {p.fpm: p.uid for p in case.lacking if p.fpm is not None} or dict.fromkeys(case.subject.fpm)
    ways += [_dumpable(case, pool, uid) for pool, uid in sorted(pools.items(), key=lambda item: item[0].name)]
    return ways


def _dumpable(case: Case, pool: FpmPool, uid: int | None) -> str:
    where = f"section [{pool.name}] of {pool.file or 'the file that configures the pool'}"
    owner = "its user" if uid is None else f"user {case.user(uid)}"
    already = "" if uid is not None and uid == case.machine.uid else f", and run the harness as {owner}"
    return f"process.dumpable = yes in {where}, then restart php-fpm{already}"


def _as_capable(case: Case, name: str) -> str:
    number = CAP_SYS_PTRACE if name == "SYS_PTRACE" else CAP_NET_ADMIN
    if case.machine.capabilities >> number & 1:
        return "run the harness on the host itself, not in a container" if _contained(case.machine) else ""
    return f"this root lacks CAP_{name}: run the harness on the host, or start its container with --cap-add {name}"


def _contained(machine: Machine) -> bool:
    return machine.container or not machine.host_namespaces


# --- kernel events, settings, files -----------------------------------------------------------------------------------


def _events(case: Case) -> str:
    reason, machine = case.missing.reason, case.machine
    options = ("CONFIG_CONNECTOR", "CONFIG_PROC_EVENTS", "CONFIG_TASKSTATS", "CONFIG_TASK_XACCT")
    absent = [option for option in options if machine.options.get(option) == "n"]
    if "too dear" in reason:
        return "a larger sample.budget in the scenario"
    if "no process connector" in reason or "keeps no" in reason or absent:
        return f"a kernel built with {', '.join(f'{option}=y' for option in absent or options)}"
    if machine.uid != 0:
        return as_root(case)
    if _contained(machine) or "own namespaces" in reason:
        return "run the harness on the host, or start its container with --pid=host --net=host --cap-add NET_ADMIN"
    return _as_capable(case, "NET_ADMIN")


def _system(case: Case) -> str:
    signal, machine = case.missing.signal, case.machine
    if _forbidden(case):
        if machine.uid != 0:
            return as_root(case)
        return "run the harness on the host itself: a container may not read it"
    if signal == "system.psi.memory":
        return _pressure(machine)
    needs = _KERNEL.get(signal, "")
    return needs if needs not in ("", "root") else f"another kernel: {machine.kernel} does not offer it"


def _pressure(machine: Machine) -> str:
    if machine.options.get("CONFIG_PSI") == "n":
        return f"a kernel built with CONFIG_PSI=y; {machine.kernel} is not"
    known = "built in, turned off by default: " if machine.options.get("CONFIG_PSI_DEFAULT_DISABLED") == "y" else ""
    return f"{known}boot with psi=1 (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and a reboot)"


def _settings(case: Case) -> str:
    if _forbidden(case):
        return as_root(case) if case.machine.uid != 0 else "run the harness on the host itself"
    return "none needed: this kernel was built without what they set"


# --- runtimes ---------------------------------------------------------------------------------------------------------


def _python(case: Case) -> str:
    reason = case.missing.reason
    if "no layout" in reason:
        includes = [p.include for p in case.lacking if p.include]
        headers = shlex.quote(includes[0]) if includes else _ask_headers(case)
        return f"in a checkout of harness, with the headers of that build: {COMMAND.replace(_HEADERS_PLACE, headers)}"
    if "free-threaded" in reason:
        return f"a build with the global lock (without the t in its name); or {_INSIDE}"
    if case.missing.signal == "runtime.python.raw_blocks":
        return "none known; a run goes on without it"
    return _INSIDE if _essential(case) else ""


def _ask_headers(case: Case) -> str:
    if not case.lacking:
        return _HEADERS_PLACE
    return f'"$(/proc/{case.lacking[0].pid}/exe -c "{_HEADERS}")"'


def _essential(case: Case) -> bool:
    """Without it, that runtime's heap or its collector is unknown; the agent inside knows both."""
    _, _, *part = case.missing.signal.split(".")
    return not part or part[0] in ("gc", "pymalloc", "readings", "chunks")


def _php(case: Case) -> str:
    if "ZTS" in case.missing.reason:
        return f"a PHP built without threads (NTS); or {_INSIDE}"
    if "USE_ZEND_ALLOC" in case.missing.reason:
        return "start it without USE_ZEND_ALLOC=0 in its environment"
    if case.missing.signal.endswith((".opcache", ".apcu")):
        return "none needed where it is off on purpose; else opcache.enable = 1, apc.enabled = 1 (of the command line: ..._cli)"
    return _INSIDE if _essential(case) else ""


def _glibc(case: Case) -> str:
    if "in the maps" in case.missing.reason:
        return "to tell native growth apart, start it once without LD_PRELOAD, on glibc's own malloc"
    return ""


# --- cgroups ----------------------------------------------------------------------------------------------------------


def _cgroup(case: Case) -> str:
    name, machine = case.missing.signal, case.machine
    if _forbidden(case):
        return as_root(case) if machine.uid != 0 else "run the harness on the host itself"
    if name == "cgroup.memory.pressure":
        needs = [_unified(machine)] if machine.cgroup_version == 1 else []
        needs += [] if case.psi else [f"PSI: {_pressure(machine)}"]
        return ", and ".join(needs)
    if name in ("cgroup.memory.unreclaimable", "cgroup.memory.high") and machine.cgroup_version == 1:
        return _unified(machine)
    if OURS_TOO in case.missing.reason:
        if case.subject.kind is Kind.TARGET:
            return "run the target as a service or container, or start the harness in another session"
        return own_group(machine, case.subject.again)
    if name == "cgroup.memory" and machine.options.get("CONFIG_MEMCG") == "n":
        return "a kernel built with CONFIG_MEMCG=y"
    if name == "cgroup.memory" and machine.cgroup_version is None:
        return (
            "mount cgroups at /sys/fs/cgroup; where the memory controller is turned off, boot with cgroup_enable=memory"
        )
    if "the top of a hierarchy" in case.missing.reason or "no pids controller" in case.missing.reason:
        start = "systemd-run --scope -p Delegate=yes COMMAND" if machine.systemd else "not in the top of the hierarchy"
        later = ", and Linux 5.19 or later" if name == "cgroup.memory.peak" else ""
        return f"start the target in a cgroup of its own ({start}){later}"
    return ""


def _unified(machine: Machine) -> str:
    if machine.systemd:
        return "cgroup version 2: boot with systemd.unified_cgroup_hierarchy=1"
    return "cgroup version 2: boot with cgroup_no_v1=all and mount cgroup2 at /sys/fs/cgroup"


def own_group(machine: Machine, command: str) -> str:
    """To get a launched target a memory cgroup of its own."""
    if "must not escape" in machine.cgroup:
        return "start the harness outside of that group; its limit and its counters hold for the target as it is"
    if machine.systemd and machine.cgroup_version == 2:
        if machine.uid == 0:
            return f"systemd-run --scope -p Delegate=yes {command}"
        if machine.user_systemd:
            return f"systemd-run --user --scope -p Delegate=yes {command}"
    if machine.uid != 0:
        return with_rights(machine, command)
    if "no memory controller" in machine.cgroup:
        return "boot with cgroup_enable=memory, or turn the controller on: echo +memory > cgroup.subtree_control in that group"
    return "in a container: start it with --cgroupns=private and /sys/fs/cgroup writable"


# --- the rest ---------------------------------------------------------------------------------------------------------


def clock(found: Clock) -> str:
    """For one that is slow to read."""
    fast = next((name for name in ("tsc", "kvm-clock", "arch_sys_counter") if name in found.available), None)
    if fast is not None and fast != found.source:
        return f"boot with clocksource={fast}, if the kernel has not found it unstable (dmesg | grep -i clocksource)"
    return NO_FIX


def _many(case: Case) -> str:
    return "look at one pool at a time: harness watch pid:N"


_BY_PREFIX: Sequence[tuple[str, Callable[[Case], str]]] = (
    ("process.events", _events),
    ("process.exit_accounts", _events),
    ("process.limit", _many),
    ("process.", _access),
    ("runtime.memory", _memory),
    ("runtime.python", _python),
    ("runtime.python.", _python),
    ("runtime.php", _php),
    ("runtime.php.", _php),
    ("runtime.glibc", _glibc),
    ("runtime.glibc.", _glibc),
    ("system.", _system),
    ("settings", _settings),
    ("cgroup.", _cgroup),
)
