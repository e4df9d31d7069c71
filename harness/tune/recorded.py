"""What a recorded run says about the machine it was recorded on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.model.span import PhaseName
from harness.tune.look import zones_of
from harness.tune.model import Fact, Found, Group, Host, Span, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.model.finding import Finding
    from harness.model.run import Series
    from harness.model.timeline import Timeline

_VMSTAT, _MEMINFO, _SWAP = "system.vmstat.", "system.meminfo.", "system.swap."
_ZONES, _BLOCKS, _SLABS = "system.zoneinfo.", "system.buddyinfo.", "system.slab."
_PSI = "system.psi_total.memory."
_CGROUP = "cgroup."
_WORTH_SAYING = ("vm.", "thp.", "ksm.run", "zswap.enabled", "kernel.numa_balancing", "damon.")
_BACKGROUND = ("system.", _CGROUP)


def with_run(host: Host, timeline: Timeline, findings: Sequence[Finding], name: str) -> Host:
    """``host`` and what the run measured, if it was recorded on this machine; else the machine the run was recorded "
    "on, alone."""
    recorded = host_of(timeline, findings, name)
    if not same_machine(host, timeline):
        return recorded
    window = recorded.window(Span.RUN)
    return replace(
        host,
        windows=(*host.windows, *([] if window is None else [window])),
        groups=(*host.groups, *(group for group in recorded.groups if any(group.new.values()))),
        found=recorded.found,
        run=name,
        changed=tuple(_changes(host.facts, timeline.manifest.facts)),
    )


def same_machine(host: Host, timeline: Timeline) -> bool:
    """Whether the run was recorded here, on this kernel and with this much memory."""
    facts = timeline.manifest.host
    kernel, memory = facts.get("kernel"), facts.get("memory_bytes")
    near = isinstance(memory, int) and host.total is not None and abs(memory - host.total) < 0.02 * memory
    return facts.get("node") == host.name and kernel == host.kernel and near


def host_of(timeline: Timeline, findings: Sequence[Finding], name: str) -> Host:
    """The machine as the run saw it: settings when it began, levels when its measured part ended."""
    manifest = timeline.manifest
    start_ns, end_ns = _measured(timeline)
    last = {
        metric: value
        for (metric, process), series in timeline.series.items()
        if process is None and metric.startswith(_BACKGROUND) and (value := _at(series, end_ns)) is not None
    }
    window = _window(timeline, start_ns, end_ns)
    return Host(
        name=str(manifest.host.get("node") or "the machine of the run"),
        kernel=_text(manifest.host.get("kernel")),
        live=False,
        facts=manifest.facts,
        missing={},
        meminfo=_below(_MEMINFO, last),
        windows=() if window is None else (window,),
        zones=zones_of(_named(_ZONES, last), _named(_BLOCKS, last)),
        swap=_below(_SWAP, last),
        slabs=_below(_SLABS, last),
        groups=tuple(_groups(timeline, last, start_ns, end_ns)),
        found=tuple(
            Found(f.cause.value, f.confidence.value, f.summary, f.secondary) for f in findings
        ),
        unread=(("mappings", "a run does not record how many mappings other processes have"),),
        run=name,
    )  # fmt: skip


def _measured(timeline: Timeline) -> tuple[int, int]:
    """The rounds; everything where there are none."""
    rounds = [window for window in timeline.windows if window.phase is PhaseName.ROUNDS]
    ends = [end for window in rounds for end in (window.floor_ns or window.end_ns,) if end is not None]
    if rounds and ends:
        return min(window.start_ns for window in rounds), max(ends)
    times = [series.t_ns for (_, process), series in timeline.series.items() if process is None and series.t_ns.size]
    return (min(int(t[0]) for t in times), max(int(t[-1]) for t in times)) if times else (0, 0)


def _window(timeline: Timeline, start_ns: int, end_ns: int) -> Window | None:
    counters = {
        metric.removeprefix(_VMSTAT): increase
        for (metric, process), series in timeline.series.items()
        if process is None
        and metric.startswith(_VMSTAT)
        and (increase := _increase(series, start_ns, end_ns)) is not None
    }
    if not counters or end_ns <= start_ns:
        return None
    some, full = (timeline.series.get((_PSI + who, None)) for who in ("some", "full"))
    available, dirty = (_during(timeline, _MEMINFO + name, start_ns, end_ns) for name in ("MemAvailable", "Dirty"))
    return Window(
        Span.RUN,
        (end_ns - start_ns) / 1e9,
        counters,
        None if some is None else _increase(some, start_ns, end_ns),
        None if full is None else _increase(full, start_ns, end_ns),
        None if available is None else int(available.min()),
        None if dirty is None else int(dirty.max()),
    )


def _during(timeline: Timeline, metric: str, start_ns: int, end_ns: int) -> NDArray[np.int64] | None:
    series = timeline.series.get((metric, None))
    if series is None:
        return None
    first, last = np.searchsorted(series.t_ns, [start_ns, end_ns])
    values = series.values[max(0, first - 1) : last + 1]
    return values if values.size else None


def _at(series: Series, t_ns: int) -> int | None:
    """The value then: the last one measured before, or the first one there is."""
    if not series.t_ns.size:
        return None
    return int(series.values[max(0, int(np.searchsorted(series.t_ns, t_ns, side="right")) - 1)])


def _increase(series: Series, start_ns: int, end_ns: int) -> int | None:
    """None where the counter fell."""
    first, last = _at(series, start_ns), _at(series, end_ns)
    return None if first is None or last is None or last < first else last - first


def _groups(timeline: Timeline, last: Mapping[str, int], start_ns: int, end_ns: int) -> Iterator[Group]:
    """The groups of the run's pools; ``cgroup.<pool>.<file>``, where a pool's name may hold dots."""
    pools = sorted({metric[len(_CGROUP) :].partition(".memory.")[0] for metric in last if metric.startswith(_CGROUP)})
    for pool in pools:
        prefix = f"{_CGROUP}{pool}."
        values = {metric.removeprefix(prefix): value for metric, value in last.items() if metric.startswith(prefix)}
        events = {
            key.removeprefix("memory.events."): v for key, v in values.items() if key.startswith("memory.events.")
        }
        new = {
            key: increase
            for key in events
            if (increase := _increase(timeline.series[f"{prefix}memory.events.{key}", None], start_ns, end_ns))
            is not None
        }
        pressed = values.get("memory.pressure.some_avg10")
        directory = str(timeline.manifest.facts.get(_CGROUP + pool, ""))
        yield Group(
            name=directory or f"the group of pool {pool}",
            version=1 if "failcnt" in events else 2,
            directory=directory,
            current=values.get("memory.current"), max=values.get("memory.max"), high=values.get("memory.high"),
            swap_max=values.get("memory.swap.max"), swap_current=values.get("memory.swap.current"),
            pressure=None if pressed is None else pressed / 10_000,
            events=events, new=new, seconds=(end_ns - start_ns) / 1e9,
        )  # fmt: skip


def _changes(now: Mapping[str, Fact], then: Mapping[str, Fact]) -> Iterator[str]:
    for name, value in sorted(then.items()):
        if name.startswith(_WORTH_SAYING) and name in now and now[name] != value:
            yield f"{name} was {value} when the run was recorded, and is {now[name]} now"


def _below(prefix: str, metrics: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def _named(prefix: str, metrics: Mapping[str, int]) -> dict[str, int]:
    return {name: value for name, value in metrics.items() if name.startswith(prefix)}


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)
