"""The session's side of the sampler's pipe: turn its lines into rows of the run and answer floor requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import HarnessError, TargetError
from harness.model.event import Event, Missing
from harness.model.metric import FLOOR
from harness.model.process import ProcessInfo, ProcessKey, host_key
from harness.sampling.protocol import Depth
from harness.session.pump import Child, Pump, Speaker, own_module
from harness.session.sampler_bounds import Bounds
from harness.session.sampler_words import checked
from harness.store.writer import Recorder

_FLOOR_TIMEOUT_S = 30.0
_NOTICES = frozenset(("runtime", "types", "files", "pause", "fast"))
_MOST_MISSING = 1000
_MOST_FLOORS = 1000
_TIMES = ("t", "end", "born")  # of its messages, by its host's clock
_OF_A_POOL = "cgroup."  # facts whose names hold that of a pool, which is one host's
_FAST = ("runtime.php.heap.fast.size", "runtime.php.heap.fast.peak", "runtime.php.heap.fast.real")


@dataclass(frozen=True, slots=True)
class LatestSystem:
    """Newest system-wide readings, for guard rails and progress; None = not measured."""

    mem_total_bytes: int | None = None
    mem_available_bytes: int | None = None
    psi_some_percent: float | None = None


@dataclass(frozen=True, slots=True)
class TickView:
    """One sweep, for whoever looks on while it is recorded. Only what this sweep measured: nothing is carried over.

    ``alive``: every process followed after the sweep, measured in it or not. ``cpu_ns``: the sampler's CPU time so far.
    """

    t_ns: int
    late_ns: int
    missed: int
    cpu_ns: int
    alive: Mapping[ProcessKey, ProcessInfo]
    processes: Mapping[ProcessKey, Mapping[str, int]]
    system: Mapping[str, int]
    missing: tuple[Missing, ...]  # all that the sampler has said so far


@dataclass(slots=True)
class _Ticks:
    """Sweeps so far: on the grid, late by more than a tenth of the interval, missed; and floors, which are on no grid."""

    taken: int = 0
    late: int = 0
    missed: int = 0
    floors: int = 0
    floors_cpu_ns: int = 0
    longest_walk_ns: int = 0
    _cpu_ns: int = 0

    def count(self, m: Mapping[str, Any], interval_ns: int) -> None:
        now_ns = self._cpu_ns if m["cpu"] is None else m["cpu"]
        spent_ns, self._cpu_ns = now_ns - self._cpu_ns, now_ns
        if m.get("floor") is not None:
            self.floors += 1
            self.floors_cpu_ns += spent_ns
            return
        self.taken += 1
        self.late += m["late"] > interval_ns // 10
        self.missed += m["missed"]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A sampler on another host. ``offset_ns``: how far its CLOCK_MONOTONIC is ahead of ours, as measured at the start: what is
    recorded is its times less this, and `harness.correlate.hosts` sets right what the clocks drift afterwards. ``second``:
    another host is the one whose own values (memory, kernel) are judged; this one's go to `host_key`. ``reconnecting``:
    whether the line to it is down for the moment."""

    child: Speaker
    offset_ns: int
    second: bool
    reconnecting: Callable[[], bool]


class SamplerClient:
    """Owns the sampler process; with several hosts, that of the first, and through ``siblings`` those of the others."""

    def __init__(
        self, pump: Pump, recorder: Recorder, start_order: Mapping[str, object], elsewhere: Elsewhere | None = None, *,
        second: bool = False, several: bool = False,
    ) -> None:  # fmt: skip
        """``second``: it samples this machine, and another host is the one whose own values are judged. ``several``: others
        sample as well, so that what is missing has to say where."""
        self._pump = pump
        self._recorder = recorder
        self._columns: tuple[str, ...] = ()
        self._infos: dict[ProcessKey, ProcessInfo] = {}
        self._floors: dict[int, int] = {}
        self._next_floor = 0
        self._same: dict[str, int] = {}  # instants of the latest floor, by host
        self._host = str(start_order.get("host", ""))
        self._pools: set[str] = set()  # what it was told to follow: nobody else's
        self.closing = False
        self.said_bye = False
        self.system = LatestSystem()
        self._pss_bytes: dict[ProcessKey, int] = {}  # last known: under a tight budget a sweep holds only some
        self._names: dict[int, tuple[str, ...]] = {}  # of values that are no columns
        # Values that belong to the coming tick: no columns, or the last ones of processes that have ended.
        self._further: list[tuple[str, ProcessKey | None, int]] = []
        self._interval_ns = int(str(start_order["interval_ns"]))
        self._ticks = _Ticks()
        self.cpu_ns: int | None = None
        self.observers: list[Callable[[TickView], None]] = []  # called after each sweep was handed to the recorder
        self.exit_observers: list[Callable[[ProcessInfo, int | None, int | None], None]] = []  # who, exit code, signal
        self._missing: tuple[Missing, ...] = ()
        self.siblings: list[SamplerClient] = []
        self._elsewhere = elsewhere
        self._offset_ns = 0 if elsewhere is None else elsewhere.offset_ns
        second = second if elsewhere is None else elsewhere.second
        self._called = self._host or "this machine"
        self._bounds = Bounds(self._called)
        self._whole_host = host_key(self._host) if second else None
        self._several = several
        self._lane = "sampler" if self._whole_host is None else f"sampler.{self._host}"
        self.child: Speaker
        if elsewhere is None:
            self.child = Child("the sampler", own_module("harness.sampling"))
        else:
            self.child = elsewhere.child
        self.child.listen(pump, self._on_message, self._on_gone)
        self.child.send(cmd="start", **start_order)
        if not self._wait(lambda: bool(self._columns)):
            raise HarnessError("the sampler did not start", hint=self._complaint())

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """For an answer, which comes late while the line is down."""
        while not self._pump.until(condition, _FLOOR_TIMEOUT_S):
            if self._elsewhere is None or not self._elsewhere.reconnecting():
                return False
        return True

    @property
    def alive(self) -> list[ProcessInfo]:
        """Processes being followed right now."""
        return [*self._infos.values(), *(info for sibling in self.siblings for info in sibling.alive)]

    def follows(self, key: ProcessKey) -> bool:
        """Whether this process is being followed by this sampler right now."""
        return key in self._infos

    @property
    def cost(self) -> dict[str, float | None]:
        """What looking cost, and what of it was not done in time: for the run's costs."""
        ticks = self._ticks
        return {
            "sampler_ticks": float(ticks.taken + ticks.floors),
            "sampler_ticks_planned": float(ticks.taken + ticks.missed),
            "sampler_ticks_taken": float(ticks.taken),
            "sampler_ticks_late": float(ticks.late),
            "sampler_missed_ticks": float(ticks.missed),
            "sampler_floors": float(ticks.floors),
            "sampler_floors_cpu_s": ticks.floors_cpu_ns / 1e9,
            "sampler_longest_stall_ms": ticks.longest_walk_ns / 1e6 or None,
        }

    def cpu_percent_elsewhere(self, seconds_ns: int) -> dict[str, float | None]:
        """Of the samplers on further hosts, as costs of the run."""
        return {
            f"sampler_cpu_percent.{each._called}": None
            if each.cpu_ns is None
            else round(100 * each.cpu_ns / seconds_ns, 3)
            for each in self.siblings
        }

    @property
    def pool_pss_bytes(self) -> dict[str, int]:
        """PSS of each pool, from the last known value of every living process."""
        pools: dict[str, int] = {}
        for key, size in self._pss_bytes.items():
            pool = self._infos[key].pool
            pools[pool] = pools.get(pool, 0) + size
        for sibling in self.siblings:
            pools.update(sibling.pool_pss_bytes)
        return pools

    def sample_fast(self, interval_ns: int | None) -> None:
        """Read PHP heaps this often between sweeps from now on; None ends it."""
        for client in (self, *self.siblings):
            client.child.send(cmd="fast", interval_ns=interval_ns)

    def follow(self, pid: int, pool: str) -> None:
        """Sample this process and everything below it."""
        self._pools.add(pool)
        self.child.send(cmd="roots", add=[{"pid": pid, "pool": pool}])

    def match(self, text: str, pool: str) -> None:
        """Sample every process whose command line contains ``text``."""
        self._pools.add(pool)
        self.child.send(cmd="match", pool=pool, text=text)

    def follow_container(self, pid: int, identifier: str, pool: str) -> None:
        """Sample every process in the control group of a container, of which ``pid`` is one."""
        self._pools.add(pool)
        self.child.send(cmd="container", pool=pool, pid=pid, id=identifier)

    def floor(self, depth: Depth = Depth.COUNTERS) -> int:
        """Sweep everything now, on all hosts; returns the instant (ns) that its rows carry. ``depth``: what it looks at beside.

        Each host sweeps at an instant of its own: that of the first is returned, and `FLOOR` tells which belong together.
        """
        self._next_floor += 1
        wanted = self._next_floor
        for client in (self, *self.siblings):
            client.child.send(cmd="floor", id=wanted, depth=int(depth))
        for client in (self, *self.siblings):
            if not client._wait(lambda floors=client._floors: wanted in floors):  # type: ignore[misc]
                raise TargetError("the sampler did not answer for 30 s", hint="is the machine out of CPU or memory?")
        self._same = {client._host: client._floors.pop(wanted) for client in (self, *self.siblings)}
        return self._same[self._host]

    def same_floor(self, t_ns: int, host: str) -> int:
        """When a host swept for the floor that was at ``t_ns`` on the first, if that is the latest one; else ``t_ns``."""
        return self._same.get(host, t_ns) if self._same.get(self._host) == t_ns else t_ns

    def stop(self) -> None:
        """Let it say goodbye; afterwards its totals are complete."""
        for client in (self, *self.siblings):
            client.closing = True
            client.child.send(cmd="stop")
        for client in (self, *self.siblings):
            child = client.child
            if not self._pump.until(lambda c=client: c.said_bye or c.child.ended, 5.0):  # type: ignore[misc]
                child.kill()  # stopped, or stuck: what it knew is recorded
            child.hang_up()
            child.reap()

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if self._elsewhere is not None:
            message = checked(message)
            self._bounds.take(message)
        kind = message.get("k")
        message = self._by_our_clock(message)
        if kind == "tick":
            self._on_tick(message)
        elif kind == "proc":
            self._on_process(message)
        elif kind == "exit":
            self._on_exit(message)
        elif kind == "hello":
            self._columns = tuple(message["columns"])
        elif kind == "missing":
            self._on_missing(Missing(message["signal"], message["reason"], message["costs"]))
        elif kind == "more":
            self._on_more(message)
        elif kind == "names":
            self._names[message["set"]] = tuple(message["names"])
        elif kind == "settings":
            self._on_settings(message["facts"])
        elif kind in _NOTICES:
            self._on_notice(message)
        elif kind == "bye":
            self.said_bye = True
            self.cpu_ns = message["cpu"]
        else:
            raise HarnessError(f"the sampler sent an unknown message: {kind!r}")

    def _by_our_clock(self, m: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**m, **{name: m[name] - self._offset_ns for name in _TIMES if name in m}} if self._offset_ns else m

    def _on_missing(self, said: Missing) -> None:
        if self._several:
            said = Missing(f"{said.signal} on {self._called}", said.reason, said.costs)
        if len(self._missing) >= _MOST_MISSING:
            return  # another host may say so without end
        self._missing = (*self._missing, said)
        self._recorder.missing(said)

    def _on_settings(self, facts: Mapping[str, str | int]) -> None:
        prefix = "" if self._whole_host is None else f"host.{self._called}."
        own = {f"{_OF_A_POOL}{pool}" for pool in self._pools}
        self._recorder.facts({name if name in own else f"{prefix}{name}": value for name, value in facts.items()})

    def _on_more(self, m: Mapping[str, Any]) -> None:
        for pid, start, names, values in m["x"]:
            key = ProcessKey(self._host, pid, start)
            self._further += [(metric, key, v) for metric, v in zip(self._names[names], values, strict=True)]

    def _on_process(self, m: Mapping[str, Any]) -> None:
        key = ProcessKey(self._host, m["pid"], m["start"])
        if self._elsewhere is not None and m["pool"] not in self._pools:
            raise ValueError("proc: a pool of somebody else's")
        known = self._infos.get(key)
        first_seen = m["t"] if known is None else known.first_seen_ns
        info = ProcessInfo(
            key, m["ppid"], m["comm"], m["cmd"], m["uid"], m["pool"], m["born"], first_seen, m["t"], None
        )  # fmt: skip
        self._infos[key] = info
        self._recorder.process(info)

    def _on_exit(self, m: Mapping[str, Any]) -> None:
        key = ProcessKey(self._host, m["pid"], m["start"])
        known = self._infos.get(key)
        if known is None:
            return
        info = replace(known, ended_ns=m["t"], last_seen_ns=m["t"])
        del self._infos[key]
        self._pss_bytes.pop(key, None)
        self._recorder.process(info)
        self._further += [(metric, key, value) for metric, value in m["last"].items()]
        how = {name: m[name] for name in ("code", "signal") if m[name] is not None}
        text = f"{info.comm} (pid {key.pid}) ended{_how_it_ended(m['code'], m['signal'])}"
        self._recorder.event(Event(m["t"], "process.exit", key, text, {"pool": info.pool, **how}))
        for observer in self.exit_observers:
            observer(info, m["code"], m["signal"])

    def _on_notice(self, m: Mapping[str, Any]) -> None:
        """What was found out about one process, beside its samples."""
        key = ProcessKey(self._host, m["pid"], m["start"])
        info = self._infos.get(key)
        if info is None:
            raise HarnessError(f"the sampler spoke of process {key.pid} without introducing it")
        who = f"{info.comm} (pid {key.pid})"
        if m["k"] == "types":
            self._recorder.object_counts(m["t"], key, m["runtime"], m["every"], [tuple(row) for row in m["rows"]])
        elif m["k"] == "fast":
            self._on_fast(key, m)
        elif m["k"] == "runtime":
            facts = {"runtime": m["runtime"], **m["facts"]}
            self._recorder.event(Event(m["t"], "process.runtime", key, f"{m['runtime']} found in {who}", facts))
        elif m["k"] == "files":
            names = ", ".join(row[0] for row in m["rows"])
            files = {row[0]: row[3] for row in m["rows"]}
            self._recorder.event(Event(m["t"], "process.files", key, f"{who} has mapped {names}", files))
        else:
            text = f"{who} was stopped for {m['paused'] / 1e6:.1f} ms while its heap was walked, as asked"
            self._recorder.event(Event(m["t"], "process.paused", key, text, {"paused_ns": m["paused"]}))

    def _on_fast(self, key: ProcessKey, m: Mapping[str, Any]) -> None:
        """Samples between two sweeps: those that differ from the one before, and the highest if it is not among them."""
        lane = f"fast.{key}.{key.start_ticks}"
        t_ns = m["t"]
        highest = m["highest"] if m["dropped"] else None
        for passed_ns, *values in zip(m["dt"], *m["v"], strict=True):
            t_ns += passed_ns
            self._recorder.samples(t_ns, [(name, key, v) for name, v in zip(_FAST, values, strict=True)], lane=lane)
        if highest is not None and m["t"] + highest[0] > t_ns:
            rows = [(name, key, v) for name, v in zip(_FAST, highest[1], strict=True)]
            self._recorder.samples(m["t"] + highest[0], rows, lane=lane)

    def _on_tick(self, m: Mapping[str, Any]) -> None:
        t_ns = m["t"]
        rows, self._further = self._further, []
        for pid, start, values in m["p"]:
            key = ProcessKey(self._host, pid, start)
            info = self._infos.get(key)
            if info is None:
                raise HarnessError(f"the sampler reported process {pid} without introducing it")
            for metric, value in zip(self._columns, values, strict=True):
                if value is not None:
                    rows.append((metric, key, value))
                    if metric == "process.memory.pss":
                        self._pss_bytes[key] = value
                    elif metric == "process.walk":
                        self._ticks.longest_walk_ns = max(self._ticks.longest_walk_ns, value)
        own = self._whole_host
        rows += [(metric, own, value) for metric, value in m["s"].items()]
        rows += [
            ("sampler.tick", own, m["end"] - t_ns),
            ("sampler.late", own, m["late"]),
            ("sampler.missed", own, m["missed"]),
        ]
        if m["cpu"] is not None:  # without Python there, nobody knows
            rows.append(("sampler.cpu", own, m["cpu"]))
        if m.get("floor") is not None and (self.siblings or own is not None):
            rows.append((FLOOR, own, m["floor"]))
        self._recorder.samples(t_ns, rows, lane=self._lane)
        self._ticks.count(m, self._interval_ns)
        self.cpu_ns = m["cpu"]
        system = m["s"]
        psi = system.get("system.psi.memory.some_avg10")
        self.system = LatestSystem(
            system.get("system.meminfo.MemTotal", self.system.mem_total_bytes),
            system.get("system.meminfo.MemAvailable", self.system.mem_available_bytes),
            self.system.psi_some_percent if psi is None else psi / 100,
        )
        if m.get("floor") is not None and len(self._floors) < _MOST_FLOORS:  # those that nobody waits for stay
            self._floors[m["floor"]] = t_ns
        if self.observers:
            self._show(m)

    def _show(self, m: Mapping[str, Any]) -> None:
        measured = {
            ProcessKey(self._host, pid, start): {
                metric: value for metric, value in zip(self._columns, values, strict=True) if value is not None
            }
            for pid, start, values in m["p"]
        }
        view = TickView(
            m["t"], m["late"], m["missed"], m["cpu"] or 0, dict(self._infos), measured, m["s"], self._missing
        )  # fmt: skip
        for observer in self.observers:
            observer(view)

    def _on_gone(self) -> None:
        if not self.closing:
            raise TargetError(
                "the sampler ended unexpectedly; the target can no longer be observed", hint=self._complaint()
            )

    def _complaint(self) -> str:
        said = self.child.complaints.decode(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing; was it killed?"


def _how_it_ended(code: int | None, signal_number: int | None) -> str:
    if signal_number is not None:
        return f" by signal {signal_number}"
    return f" with exit code {code}" if code else ""
