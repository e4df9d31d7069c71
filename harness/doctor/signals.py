"""From what one sweep saw to the table of signals. Pure: every missing signal of the sampler is in it, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.doctor import fixes
from harness.doctor.fixes import Case
from harness.doctor.model import Group, Kind, Limit, Line, Looked, Machine, State, Subject
from harness.doctor.observe import Observation
from harness.model.event import Missing
from harness.sampling.groups import OURS_TOO
from harness.sampling.sources import SYSTEM_SOURCES
from harness.targets import own_cgroup
from harness.units import format_bytes

OWN, OTHERS = "own", "others"  # pools of the probes of a check-up of the machine
_COLUMNS = (
    ("process.memory.rss", "RSS, faults, CPU time, threads (stat)"),
    ("process.memory.pss", "PSS and USS (smaps_rollup)"),
    ("process.memory.hwm", "high-water mark, swap (status)"),
    ("process.fds", "open files and connections (fd)"),
)
_READERS = (("python", "CPython"), ("php", "PHP"), ("glibc", "glibc"))
_SERVING = ("runtime.php.opcache", "runtime.php.apcu")  # a probe of ours runs without configuration
_SLOW_CLOCK_NS = 1000
_Has = Callable[[int], bool]


def table(seen: Observation, subject: Subject, machine: Machine, user: Callable[[int], str] = str) -> tuple[Group, ...]:
    """All groups, each with its lines."""
    making = _Table(seen, subject, machine, user)
    groups = (
        Group("processes", tuple(making.processes())),
        Group("births and exits", tuple(making.births())),
        Group("inside the runtimes, from outside", tuple(making.runtimes())),
        Group("kernel", tuple(making.kernel())),
        Group("cgroups", tuple(making.cgroups())),
        Group("memory nodes, swap, clock, disk", tuple(making.rest())),
    )
    other = tuple(making.left())
    return groups if not other else (*groups, Group("others", other))


class _Table:
    """Uses up the missing signals as it goes, so that `left` can tell of those nobody asked for."""

    def __init__(self, seen: Observation, subject: Subject, machine: Machine, user: Callable[[int], str]) -> None:
        self._seen = seen
        self._subject = subject
        self._machine = machine
        self._user = user
        self._missing = {m.signal: m for m in seen.missing}
        self._there = tuple(p for p in self._observed())

    # --- groups -------------------------------------------------------------------------------------------------------

    def processes(self) -> Iterable[Line]:
        for signal, text in _COLUMNS:
            yield self._of_processes(signal, text, self._column(signal))
        yield self._deep(
            "process.smaps", "by kind of memory: heap, stacks, libraries, shared, ... (smaps)", "process.smaps."
        )
        if self._machine.hidepid and self._machine.uid != 0:
            yield Line(
                "process.list", State.PARTLY, "/proc is mounted with hidepid: processes of other users cannot be seen",
                "they are in no sum and cannot be found by name or port",
                fixes.with_rights(self._machine, self._subject.again),
            )  # fmt: skip
        yield from self._left("process.", but=("process.events", "process.exit_accounts", "process.numa"))

    def births(self) -> Iterable[Line]:
        for signal, text in (
            ("process.events", "births and exits at their time, also between sweeps (process events)"),
            ("process.exit_accounts", "high-water mark and CPU time at the exit (taskstats)"),
        ):
            if signal == "process.exit_accounts" and signal not in self._missing and "process.events" in self._missed:
                yield Line(signal, State.UNCHECKED, "not asked for without process events")
            else:
                yield self._plain(signal, text)

    def runtimes(self) -> Iterable[Line]:
        if not self._seen.heaps:
            yield Line("runtime.memory", State.UNCHECKED, "not asked for: sample.heaps is false in the scenario")
            return
        yield self._permission()
        for runtime, name in _READERS:
            yield from self._runtime(runtime, name)
        yield from self._left("runtime.")

    def kernel(self) -> Iterable[Line]:
        for make in SYSTEM_SOURCES:
            source = make()
            if source.signal != "system.swap":
                yield self._plain(source.signal, f"/proc/{source.path}")
        yield self._plain("settings", f"{len(self._seen.facts)} settings that bear on memory", State.PARTLY)
        yield from self._left("system.", but=("system.swap",))

    def cgroups(self) -> Iterable[Line]:
        machine = self._machine
        read = sorted({n.split(".", 2)[2] for n in self._seen.system if n.startswith("cgroup.") and n.count(".") > 2})
        missing = self._missing.get("cgroup.memory")
        stands_in = (
            self._subject.kind is not Kind.TARGET and not machine.cgroup
        )  # was given no group, as a target would be
        if missing is not None and OURS_TOO in missing.reason and stands_in:
            del self._missing["cgroup.memory"]
            yield Line(
                "cgroup.memory", State.OK, f"version {machine.cgroup_version}, of the group that a launched target gets"
            )
        elif missing is not None:
            yield self._plain("cgroup.memory", "")
        else:
            text = f"version {machine.cgroup_version}, {len(read)} counters of the group"
            yield Line("cgroup.memory", State.OK if read else State.NONE, text)
        yield from self._left("cgroup.")
        yield self._limit(machine.limits)
        if self._subject.kind is Kind.TARGET:
            yield Line(own_cgroup.SIGNAL, State.NONE, "only a target that the harness starts gets a group of its own")
        elif machine.cgroup:
            fix = fixes.own_group(machine, self._subject.again)
            yield Line(own_cgroup.SIGNAL, State.MISSING, machine.cgroup, own_cgroup.COSTS, fix)
        else:
            yield Line(own_cgroup.SIGNAL, State.OK, f"a launched target gets one below {machine.cgroup_place}")

    def rest(self) -> Iterable[Line]:
        nodes = self._seen.facts.get("numa.nodes")
        if "process.numa" in self._missing:
            yield self._plain("process.numa", "")
        elif nodes == 1:
            yield Line("process.numa", State.NONE, "one memory node: nothing to tell apart")
        else:
            yield self._deep(
                "process.numa", f"{nodes or 'unknown number of'} memory nodes (numa_maps)", "process.numa."
            )
        yield self._swap()
        yield self._clock()
        yield self._disk()

    def left(self) -> Iterable[Line]:
        """What the sampler lacks and no group knows: a later sampler may say more than this table expects."""
        yield from self._left("")

    # --- lines --------------------------------------------------------------------------------------------------------

    @property
    def _missed(self) -> set[str]:
        return {m.signal for m in self._seen.missing}

    def _observed(self) -> Iterable[Looked]:
        return (p for p in self._subject.processes if p.pid in self._seen.columns)

    def _column(self, signal: str) -> _Has:
        return lambda pid: self._seen.columns[pid].get(signal) is not None

    def _of_processes(self, signal: str, text: str, has: _Has) -> Line:
        lacking = tuple(p for p in self._there if not has(p.pid))
        missing = self._missing.pop(signal, None)
        count = self._counted(lacking)
        if missing is not None:
            state = State.MISSING if len(lacking) == len(self._there) else State.PARTLY
            why = f"{text}: {count}; {self._reason(missing)}" if state is State.PARTLY else self._reason(missing)
            return Line(signal, state, why, missing.costs, self._fix(missing, lacking))
        if len(lacking) == len(self._there):
            return Line(signal, State.NONE, f"{text}: nothing to read, it has no memory of its own")
        return Line(signal, State.OK, f"{text}: {count}")

    def _counted(self, lacking: Sequence[Looked]) -> str:
        """Of whom a signal is to be had."""
        if self._subject.kind is Kind.MACHINE:
            pools = {p.pool for p in self._there} - {p.pool for p in lacking}
            if {OWN, OTHERS} <= pools:
                return "of all processes"
            return (
                f"of processes of {self._machine.user}, not of other users' or of what changed its user"
                if OWN in pools
                else "of none"
            )
        there, having = len(self._there), len(self._there) - len(lacking)
        if there == 1:
            return "of the one process" if having else "not of it"
        return (
            f"of all {there} processes looked at" if having == there else f"of {having} of {there} processes looked at"
        )

    def _deep(self, signal: str, text: str, prefix: str) -> Line:
        if not self._seen.deep and signal not in self._missing:
            return Line(signal, State.UNCHECKED, f"{text}: not walked, the target is too large for a quick look")
        more = self._seen.more
        return self._of_processes(signal, text, lambda pid: any(n.startswith(prefix) for n in more.get(pid, ())))

    def _permission(self) -> Line:
        signal = "runtime.memory"
        readable = {pid for pid, found in self._seen.runtimes.items() if set(found) - {"native"}}
        lacking = tuple(p for p in self._there if p.pid not in readable)
        missing = self._missing.pop(signal, None)
        scope = self._machine.ptrace_scope
        yama = "" if scope is None else f", ptrace_scope {scope}"
        if missing is None:
            return Line(signal, State.OK, f"memory may be read: {self._counted(())}{yama}")
        state = State.PARTLY if len(lacking) < len(self._there) else State.MISSING
        why = self._reason(missing)
        found = f"memory may be read: {self._counted(lacking)}; {why}" if state is State.PARTLY else why
        return Line(signal, state, f"{found}{yama}", missing.costs, self._fix(missing, lacking))

    def _runtime(self, runtime: str, name: str) -> Iterable[Line]:
        signal = f"runtime.{runtime}"
        found = [facts[runtime] for facts in self._seen.runtimes.values() if runtime in facts]
        without = tuple(p for p in self._there if runtime not in self._seen.runtimes.get(p.pid, {}))
        if signal in self._missing:
            missing = self._missing.pop(signal)
            yield Line(signal, State.PARTLY if found else State.MISSING, self._reason(missing), missing.costs,
                       self._fix(missing, without))  # fmt: skip
        elif found:
            known = sorted({_build(name, facts) for facts in found})
            count = "" if self._subject.kind is Kind.MACHINE else f" {self._counted(without)}"
            text = f"{', '.join(known)}: read and proved{count}"
            yield Line(signal, State.OK, text + self._builds() if runtime == "python" else text)
        elif "runtime.memory" in self._missed:
            yield Line(signal, State.UNCHECKED, f"{name}: unknown, its memory may not be read")
        else:
            yield Line(signal, State.NONE, f"no {name} that can be read was found in it")
        for name_ in sorted(s for s in self._missing if s.startswith(f"{signal}.")):
            missing = self._missing.pop(name_)
            having = tuple(p for p in self._there if runtime in self._seen.runtimes.get(p.pid, {}))
            if self._subject.kind is not Kind.TARGET and name_ in _SERVING:
                yield Line(name_, State.UNCHECKED, "only to be seen in a PHP that serves: harness doctor --pid PID")
                continue
            yield Line(name_, State.MISSING, self._reason(missing), missing.costs, self._fix(missing, having))

    def _builds(self) -> str:
        """Which others would be read."""
        known = self._machine.layouts
        if self._subject.kind is not Kind.MACHINE or not known:
            return ""
        return f"; known are {len(known)} builds from {known[0]} to {known[-1]}"

    def _plain(self, signal: str, text: str, state: State = State.MISSING) -> Line:
        missing = self._missing.pop(signal, None)
        if missing is None:
            return Line(signal, State.OK, text)
        reason = self._reason(missing)
        found = f"{text}; not known: {reason}" if state is State.PARTLY else reason
        return Line(signal, state, found, missing.costs, self._fix(missing))

    def _left(self, prefix: str, but: Sequence[str] = ()) -> Iterable[Line]:
        for signal in [s for s in self._missing if s.startswith(prefix) and s not in but]:
            yield self._plain(signal, "")

    def _limit(self, limits: Sequence[Limit]) -> Line:
        if not limits:
            return Line("cgroup.limit", State.NONE, "no memory limit on it, nor on a group above")
        smallest = min(limits, key=lambda limit: limit.bytes)
        text = f"{format_bytes(limits[0].bytes)} by {limits[0].path}, the nearest limit"
        if smallest is not limits[0]:
            text += f"; the lowest is {format_bytes(smallest.bytes)} by {smallest.path}"
        return Line("cgroup.limit", State.OK, text)

    def _swap(self) -> Line:
        if "system.swap" in self._missing:
            return self._plain("system.swap", "")
        size, used = (self._seen.system.get(f"system.swap.{name}") for name in ("size", "used"))
        if size == 0:
            return Line("system.swap", State.NONE, "no swap: what does not fit is killed, and nothing hides in it")
        return Line("system.swap", State.OK, f"{format_bytes(size)}, {format_bytes(used)} of it used (/proc/swaps)")

    def _clock(self) -> Line:
        clock = self._machine.clock
        text = (
            f"monotonic, {clock.source or 'source unknown'}: {clock.read_ns} ns a reading, steps of {clock.step_ns} ns"
        )
        if clock.read_ns <= _SLOW_CLOCK_NS:
            return Line("clock", State.OK, text)
        costs = "every time stamp slows down what is measured, most of all agents inside the target"
        return Line("clock", State.PARTLY, text, costs, fixes.clock(clock))

    def _disk(self) -> Line:
        place = self._machine.place
        free = f"{format_bytes(place.free_bytes)} free where runs are written ({place.directory})"
        elsewhere = "choose another directory with --out"
        if not place.writable:
            return Line("disk", State.MISSING, f"{place.directory} may not be written to",
                        "a run cannot be recorded there", elsewhere)  # fmt: skip
        if place.least_bytes is not None and place.free_bytes < place.least_bytes:
            costs = f"a run stops when less than {format_bytes(place.least_bytes)} is left (guard.disk_free)"
            return Line("disk", State.MISSING, free, costs, elsewhere)
        return Line("disk", State.OK, free)

    def _reason(self, missing: Missing) -> str:
        """Probes are ours: their pids mean nothing to people."""
        reason = missing.reason
        if self._subject.kind is not Kind.TARGET:
            for process in self._subject.processes:
                reason = reason.replace(f"/proc/{process.pid}/", "/proc/PID/")
        return reason

    def _fix(self, missing: Missing, lacking: tuple[Looked, ...] = ()) -> str:
        psi = "system.psi.memory" not in self._missed
        return fixes.fix(Case(missing, self._subject, self._machine, lacking, self._user, psi))


def _build(name: str, facts: object) -> str:
    """A runtime with its version and, of CPython, the layout that was proved."""
    assert isinstance(facts, dict)
    version = str(facts.get("version", "")).strip()
    layout = facts.get("layout")
    return f"{name} {version}".strip() + (f" (layout {layout})" if layout else "")
