"""The machine as the rules see it: kernel counters over the measured rounds, at their floors and between them.

A machine is shared. What the kernel counts for all of it (``system.*``) moves because of anybody; what it charges to a memory
cgroup moves because of who is in it. So a rule puts something down to the target only where it is seen in a group that the
target has for itself (`Group`), or in the target's own processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.growth import Growth, Yardstick, judge
from harness.diagnose.pool import PoolView, RoundInfo, judged_rounds
from harness.model.event import CONTAINER_OOM, Event
from harness.model.process import host_key
from harness.model.run import Series
from harness.model.timeline import Timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SECOND_NS = 1e9
_PAGE_BYTES = 4096
_MOSTLY_OURS = 0.7  # of a group's anonymous memory: who else is in it does not matter then


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter over the judged rounds. ``per_round``: what it rose by from floor to floor; ``per_second``: the same over the
    time between the first and the last floor."""

    per_round: tuple[float, ...]
    per_second: float

    @property
    def total(self) -> float:
        return sum(self.per_round)

    def rounds_with(self, least: float) -> float:
        """Share of the rounds in which it rose by at least so much."""
        return sum(v >= least for v in self.per_round) / len(self.per_round)


@dataclass(frozen=True, slots=True)
class Group:
    """A memory cgroup with a pool of the target in it, and hardly anybody else. ``own``: it was made for this run."""

    pool: PoolView
    own: bool

    @property
    def prefix(self) -> str:
        """Of its metrics."""
        return f"cgroup.{self.pool.name}."

    @property
    def text(self) -> str:
        """What it is called in a sentence."""
        name = self.pool.name
        return f"the memory group of {name}" if self.own else f"the memory group that {name} runs in"


@dataclass(frozen=True)
class HostView:
    """What host rules ask about one machine. ``pools``: the application's, already looked at. ``name``: which machine, as in
    `ProcessKey.host`."""

    timeline: Timeline
    rounds: Sequence[RoundInfo]
    pools: Sequence[PoolView]
    name: str

    @cached_property
    def alone(self) -> HostView:
        """With the pools that are on this machine only: what it is short of, nobody on another one suffers from."""
        return replace(self, pools=[pool for pool in self.pools if pool.host == self.name])

    def where(self, pool: PoolView) -> HostView:
        """The machine that a pool is on."""
        return self if pool.host == self.name else replace(self, name=pool.host)

    @property
    def stretch(self) -> str:
        """What a round of this run is called."""
        return next((p.stretch for p in self.pools), "round")

    @property
    def range_ns(self) -> tuple[int, int] | None:
        """The judged stretch of the run."""
        return (self.rounds[0].start_ns, self.rounds[-1].floor_ns) if self.rounds else None

    @property
    def page_bytes(self) -> int:
        value = self.timeline.manifest.host.get("page_size_bytes")
        return value if isinstance(value, int) and value > 0 else _PAGE_BYTES

    @cached_property
    def memory_bytes(self) -> float | None:
        """Memory of the machine."""
        found = self.at_floors("system.meminfo.MemTotal")
        return None if found is None else float(found[-1])

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups whose growth is the target's: made for this run, or filled by its processes."""
        found: list[Group] = []
        seen: list[Floats] = []
        for pool in self.pools:
            current = self.at_floors(f"cgroup.{pool.name}.memory.current")
            own = f"cgroup.{pool.name}" in self.timeline.manifest.facts
            if current is None or any(np.array_equal(current, other) for other in seen):
                continue
            if own or self._is_filled_by(pool):
                seen.append(current)
                found.append(Group(pool, own))
        return tuple(found)

    def _is_filled_by(self, pool: PoolView) -> bool:
        charged, ours = self.at_floors(f"cgroup.{pool.name}.memory.stat.anon"), of_processes(pool, "pss_anon")
        return charged is not None and ours is not None and bool((ours >= _MOSTLY_OURS * charged).all())

    def _series(self, metric: str) -> Series | None:
        """Of this machine; the accounts of a group are those of whichever host its pool is on."""
        if not metric.startswith("cgroup."):
            return self.timeline.of_machine(metric, self.name)
        own = self.timeline.series.get((metric, None))
        if own is not None:
            return own
        hosts = {key.host for p in self.pools for key in [member.info.key for member in p.members]}
        found = (self.timeline.series.get((metric, host_key(host))) for host in sorted(hosts))
        return next((series for series in found if series is not None), None)

    def at_floors(self, metric: str) -> Floats | None:
        """(rounds,) the metric in the sweep of each round's floor, or the last one before it; None where one is missing."""
        series = self._series(metric)
        if series is None or not self.rounds or not series.t_ns.size:
            return None
        at = np.array([self._swept_at(series, r.floor_ns) for r in self.rounds], dtype=np.int64)
        index = np.searchsorted(series.t_ns, at, side="right") - 1
        return None if index[0] < 0 else series.values[index].astype(np.float64)

    def during(self, metric: str) -> tuple[NDArray[np.int64], Floats] | None:
        """(times, values) of every sweep of the judged stretch; None where there is none."""
        series, span = self._series(metric), self.range_ns
        if series is None or span is None:
            return None
        first, last = np.searchsorted(series.t_ns, (span[0], self._swept_at(series, span[1])))
        if last <= first:
            return None
        return series.t_ns[first:last], series.values[first:last].astype(np.float64)

    def at(self, metric: str, times_ns: Iterable[int]) -> Mapping[int, int]:
        """The metric in the sweeps that were taken for exactly these floors, where there is one."""
        series = self._series(metric)
        if series is None:
            return {}
        named = {self._swept_at(series, t_ns): t_ns for t_ns in times_ns}
        wanted = np.array(sorted(named), dtype=np.int64)
        common, _, index = np.intersect1d(wanted, series.t_ns, return_indices=True)
        return {named[t]: value for t, value in zip(common.tolist(), series.values[index].tolist(), strict=True)}

    def _swept_at(self, series: Series, floor_ns: int) -> int:
        return floor_ns if series.process is None else self.timeline.swept_at(floor_ns, series.process.host)

    def sum_at_floors(self, *metrics: str) -> Floats | None:
        """(rounds,) sum of several; None where one is missing."""
        parts = [self.at_floors(metric) for metric in metrics]
        known = [part for part in parts if part is not None]
        return sum(known[1:], known[0]) if known and len(known) == len(parts) else None

    def counted(self, *metrics: str) -> Counted | None:
        """What counters rose by, together; those that this kernel does not have count nothing. None where it has none of them,
        or fewer than two rounds were judged. A counter that falls was reset."""
        levels = [level for level in (self.at_floors(metric) for metric in metrics) if level is not None]
        if not levels or len(self.rounds) < 2:
            return None
        rises = sum((np.clip(np.diff(level), 0, None) for level in levels), np.zeros(len(self.rounds) - 1))
        seconds = (self.rounds[-1].floor_ns - self.rounds[0].floor_ns) / _SECOND_NS
        return Counted(tuple(float(v) for v in rises), float(rises.sum()) / seconds if seconds > 0 else 0.0)

    def kills_told(self, pool: PoolView) -> Sequence[Event]:
        """Kills for lack of memory in the pool's container during the judged stretch, as they were noticed. The group's counter
        is gone with a container that ends so."""
        span = self.range_ns
        return [] if span is None else [
            event for event in self.timeline.events
            if event.kind == CONTAINER_OOM and event.attributes.get("pool") == pool.name and span[0] <= event.t_ns <= span[1]
        ]  # fmt: skip

    def starting_with(self, prefix: str) -> tuple[str, ...]:
        """System-wide metrics whose name begins so, sorted."""
        own = None if self.name == self.timeline.judged else host_key(self.name)
        return tuple(sorted(m for m, key in self.timeline.series if key == own and m.startswith(prefix)))

    def grows(self, levels: Floats | None, yardstick: Yardstick) -> Growth | None:
        """The curve of ``levels`` if it certainly rises with every round, at the same pace; None where it does not, or is not
        known."""
        if levels is None:
            return None
        curve = judge(levels, yardstick)
        return curve if curve.grows else None


def host_of(timeline: Timeline, pools: Sequence[PoolView]) -> HostView:
    """The view of the machine whose own values are judged."""
    return HostView(timeline, judged_rounds(timeline), pools, timeline.judged)


def of_processes(pool: PoolView, metric: str) -> Floats | None:
    """(rounds,) ``process.memory.<metric>`` of all processes of the pool that were there at each floor, its master and helpers
    among them; None where one of them was not measured."""
    sums = [_of_processes_at(pool, metric, info.floor_ns) for info in pool.rounds]
    known = [v for v in sums if v is not None]
    return np.array(known, dtype=np.float64) if known and len(known) == len(sums) else None


def not_mapped(host: HostView, group: Group, charged: str, less: Sequence[str], mapped: str) -> Mapping[int, int]:
    """By the time of every floor of the group's pool, those inside of rounds too: what is charged to the group as ``charged``,
    less ``less``, less ``process.memory.<mapped>`` of the pool's processes. Floors at which one of these is not known are left
    out."""
    pool, prefix = group.pool, f"{group.prefix}memory.stat."
    levels = [host.at(f"{prefix}{name}", pool.floors) for name in (charged, *less)]
    found = {}
    for t_ns in sorted(set.intersection(*(set(level) for level in levels))):
        own = _of_processes_at(pool, mapped, t_ns)
        if own is not None:
            found[t_ns] = levels[0][t_ns] - sum(level[t_ns] for level in levels[1:]) - own
    return found


def _of_processes_at(pool: PoolView, metric: str, t_ns: int) -> int | None:
    name = f"process.memory.{metric}"
    values = [floor.values.get(name) for floor in pool.floors.get(t_ns, {}).values()]
    known = [v for v in values if v is not None]
    return sum(known) if known and len(known) == len(values) else None
