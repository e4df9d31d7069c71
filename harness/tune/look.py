"""Reads this machine twice, a few seconds apart. With ``origins`` the only reader of the package; opens files for "
"reading only."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.sampling.discovery import all_pids
from harness.sampling.reading import process_directory, read_file, why
from harness.sampling.redact import printable, process_name
from harness.sampling.sources import (
    buddyinfo,
    cgroup,
    meminfo,
    pid_stat,
    pressure,
    settings,
    slabinfo,
    swaps,
    vmstat,
    zoneinfo,
)
from harness.sampling.sources.numbers import to_int
from harness.sampling.sources.pieces import read_pieces, whole_lines
from harness.tune import origins
from harness.tune.model import Fact, Group, Host, Mappings, Span, Window, Zone

_UPTIME = re.compile(rb"([0-9]{1,12})\.([0-9]{2}) ")
_PSI_TOTAL, _PSI_AVERAGE = "psi_total.", "psi."
_MOST_PROCESSES, _MAPS_NS = 4096, 1_500_000_000
_MOST_GROUPS, _MOST_SHOWN_GROUPS = 4096, 64
_NO_LIMIT = 1 << 62  # version 1 writes the largest multiple of the page size
_KEPT_EVENTS = ("low", "high", "max", "oom", "oom_kill", "failcnt")
_HUGE_POOLS = "kernel/mm/hugepages"
# Settings that only this command asks for: name -> file below /sys.
_MORE_FACTS = {"ksm.general_profit": "kernel/mm/ksm/general_profit", "ksm.pages_scanned": "kernel/mm/ksm/pages_scanned"}

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where the kernel's files are; elsewhere in tests only."""

    proc: str = "/proc"
    sys: str = "/sys"
    etc: str = "/"


def look(over_s: float, mounts: Mounts | None = None, pause: Pause = time.sleep) -> Host:
    """How the machine stands, and what its counters do in ``over_s`` seconds (0: no second look). Never raises for what cannot be
    read: that is in ``unread``."""
    mounts = mounts or Mounts()
    reader = _Reader(mounts)
    first, boot = reader.counters(), _uptime_s(mounts.proc)
    began = time.monotonic()
    before = {group.directory: group for group in reader.groups()}
    mappings = reader.mappings()
    if over_s > 0:
        pause(max(0.0, began + over_s - time.monotonic()))
    second = reader.counters() if over_s > 0 else first
    seconds = time.monotonic() - began
    groups = reader.groups() if over_s > 0 else list(before.values())
    windows = [_since_boot(second, boot)]
    if over_s > 0:
        windows.append(_between(first, second, seconds))
    facts, missing = reader.settings()
    return Host(
        name=platform.node(),
        kernel=_text(facts.get("kernel.release")),
        live=True,
        facts=facts,
        missing=missing,
        meminfo=second.meminfo,
        windows=tuple(windows),
        zones=reader.zones(),
        swap=reader.swap(),
        slabs=reader.slabs(),
        mappings=mappings,
        groups=tuple(_with_new(group, before.get(group.directory), seconds) for group in groups),
        groups_seen=reader.groups_seen,
        origins=origins.read(mounts.etc),
        unread=tuple(reader.unread.items()),
        container=in_container(Path(mounts.etc)),
    )


def in_container(root: Path) -> bool:
    """Whether this looks like a container, in which the parameters are those of the machine around it."""
    return (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()


@dataclass(frozen=True, slots=True)
class _Counters:
    vmstat: Mapping[str, int]
    meminfo: Mapping[str, int]
    psi: Mapping[str, int]


class _Reader:
    def __init__(self, mounts: Mounts) -> None:
        self._proc, self._sys = mounts.proc, mounts.sys
        self.unread: dict[str, str] = {}
        self.groups_seen: int | None = None

    def _read(self, name: str, path: str) -> bytes:
        """Empty, and noted, when it cannot be read."""
        try:
            return read_file(path)
        except OSError as error:
            self.unread[name] = printable(why(error, path))
            return b""

    def counters(self) -> _Counters:
        stat = vmstat.parse(self._read("vmstat", self._proc + "/vmstat"))
        info = meminfo.parse(self._read("meminfo", self._proc + "/meminfo"))
        psi = pressure.parse_as(
            self._read("pressure", self._proc + "/pressure/memory"), _PSI_AVERAGE + "{}", _PSI_TOTAL + "{}"
        )
        return _Counters(
            {name.removeprefix(vmstat.PREFIX): value for name, value in stat.items()},
            {name.removeprefix(meminfo.PREFIX): value for name, value in info.items()},
            psi,
        )

    def settings(self) -> tuple[dict[str, Fact], dict[str, str]]:
        found = settings.read(self._proc, self._sys)
        facts: dict[str, Fact] = dict(found.facts)
        for name, path in _MORE_FACTS.items():
            value = _number(f"{self._sys}/{path}")
            if value is not None:
                facts[name] = value
        facts.update(_huge_pools(f"{self._sys}/{_HUGE_POOLS}"))
        return facts, dict(found.missing)

    def zones(self) -> tuple[Zone, ...]:
        return zones_of(
            zoneinfo.parse(self._read("zoneinfo", self._proc + "/zoneinfo")),
            buddyinfo.parse(self._read("buddyinfo", self._proc + "/buddyinfo")),
        )

    def swap(self) -> Mapping[str, int]:
        found = swaps.parse(self._read("swaps", self._proc + "/swaps"))
        return {name.removeprefix(swaps.PREFIX): value for name, value in found.items()}

    def slabs(self) -> Mapping[str, int]:
        return slabinfo.parse(self._read("slabinfo", self._proc + "/slabinfo"))

    def mappings(self) -> Mappings | None:
        """Counted for those with most address space first, for at most 1.5 s: reading them holds a lock of the "
        "process."""
        by_size = sorted(self._processes(), reverse=True)[:_MOST_PROCESSES]
        until, best, looked_at, unreadable = time.monotonic_ns() + _MAPS_NS, None, 0, 0
        for _, pid, name in by_size:
            if time.monotonic_ns() > until:
                break
            try:
                lines = sum(
                    piece.count(b"\n")
                    for piece in read_pieces(process_directory(self._proc, pid) + "/maps", whole_lines)
                )
            except OSError as error:
                unreadable += isinstance(error, PermissionError)
                continue
            looked_at += 1
            if best is None or lines > best[0]:
                best = (lines, pid, name)
        return None if best is None else Mappings(*best, looked_at, unreadable)

    def _processes(self) -> Iterator[tuple[int, int, str]]:
        """(bytes of address space, pid, name) of those with memory of their own."""
        for pid in all_pids(self._proc):
            try:
                stat = pid_stat.read(self._proc, pid)
                statm = read_file(process_directory(self._proc, pid) + "/statm", 256).split()
            except OSError:
                continue
            if stat is not None and not stat.ended and stat.rss_pages is not None and statm:
                yield to_int(statm[0]) or 0, pid, process_name(stat.comm)

    def groups(self) -> list[Group]:
        """Those that have a limit or a protection, the fullest first."""
        top = self._top_of_groups()
        if top is None:
            return []
        version, directory, mount_root = top
        found, seen = [], 0
        for at in _directories(directory):
            seen += 1
            group = _group(version, at, mount_root + at[len(directory) :])
            if group is not None:
                found.append(group)
        self.groups_seen = seen
        if seen >= _MOST_GROUPS:
            self.unread["control groups"] = f"there are more than {_MOST_GROUPS}; the rest was not looked at"
        return sorted(found, key=_fullness, reverse=True)[:_MOST_SHOWN_GROUPS]

    def _top_of_groups(self) -> tuple[int, str, str] | None:
        """(version, directory, name of it) of the hierarchy that accounts for memory."""
        data = self._read("control groups", self._proc + "/self/mountinfo")
        base = self._sys + "/fs/cgroup"
        for mount in cgroup.parse_mounts(data):
            point = base + mount.point.removeprefix("/sys/fs/cgroup")
            if "memory" in mount.controllers:
                return 1, point, mount.root.rstrip("/")
            if not mount.controllers and b"memory" in _content(point + "/cgroup.controllers").split():
                return 2, point, mount.root.rstrip("/")
        if data:
            self.unread["control groups"] = "no hierarchy that accounts for memory is mounted"
        return None


def zones_of(watermarks: Mapping[str, int], blocks: Mapping[str, int]) -> tuple[Zone, ...]:
    """Zones from the metrics of zoneinfo (``system.zoneinfo.0.Normal.low``) and buddyinfo "
    "(``system.buddyinfo.0.Normal.9``)."""
    places: dict[tuple[int, str], dict[str, int]] = {}
    orders: dict[tuple[int, str], dict[int, int]] = {}
    for metric, value in watermarks.items():
        node, zone, name = metric.removeprefix(zoneinfo.PREFIX).split(".")
        places.setdefault((int(node), zone), {})[name] = value
    for metric, value in blocks.items():
        node, zone, order = metric.removeprefix(buddyinfo.PREFIX).split(".")
        orders.setdefault((int(node), zone), {})[int(order)] = value
    return tuple(
        Zone(node, zone, fields.get("free"), fields.get("low"), fields.get("high"), fields.get("managed"),
             _row(orders.get((node, zone), {})))
        for node, zone in sorted({*places, *orders})
        for fields in (places.get((node, zone), {}),)
    )  # fmt: skip


def _row(counts: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(counts.get(order, 0) for order in range(max(counts, default=-1) + 1))


def _since_boot(counters: _Counters, uptime_s: float | None) -> Window:
    return Window(
        Span.BOOT,
        uptime_s or 0.0,
        counters.vmstat,
        counters.psi.get(_PSI_TOTAL + "some"),
        counters.psi.get(_PSI_TOTAL + "full"),
    )


def _between(first: _Counters, second: _Counters, seconds: float) -> Window:
    available = [m["MemAvailable"] for m in (first.meminfo, second.meminfo) if "MemAvailable" in m]
    dirty = [m["Dirty"] + m.get("Writeback", 0) for m in (first.meminfo, second.meminfo) if "Dirty" in m]
    waited = increases(first.psi, second.psi)
    return Window(
        Span.LOOK,
        seconds,
        increases(first.vmstat, second.vmstat),
        waited.get(_PSI_TOTAL + "some"),
        waited.get(_PSI_TOTAL + "full"),
        min(available, default=None),
        max(dirty, default=None),
    )


def increases(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """By how much each counter rose; those that fell were started anew and are unknown."""
    return {name: value - first[name] for name, value in second.items() if name in first and value >= first[name]}


def _uptime_s(proc: str) -> float | None:
    match = _UPTIME.match(_content(proc + "/uptime"))
    return None if match is None else int(match[1]) + int(match[2]) / 100


def _huge_pools(directory: str) -> dict[str, Fact]:
    """``hugetlb.<size>kB.nr`` and ``.free``, in pages of that size."""
    found: dict[str, Fact] = {}
    try:
        sizes = sorted(name for name in os.listdir(directory) if re.fullmatch(r"hugepages-[0-9]{1,9}kB", name))
    except OSError:
        return found
    for name in sizes:
        for key, file in (("nr", "nr_hugepages"), ("free", "free_hugepages"), ("reserved", "resv_hugepages")):
            value = _number(f"{directory}/{name}/{file}")
            if value is not None:
                found[f"hugetlb.{name.removeprefix('hugepages-')}.{key}"] = value
    return found


def _directories(top: str) -> Iterator[str]:
    """The directory and those below, at most `_MOST_GROUPS`."""
    waiting, given = [top], 0
    while waiting and given < _MOST_GROUPS:
        at = waiting.pop(0)
        try:
            with os.scandir(at) as entries:
                waiting += sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        given += 1
        yield at


def _group(version: int, directory: str, name: str) -> Group | None:
    """The group if something was set in it."""
    names = (
        ("memory.limit_in_bytes",) if version == 1 else ("memory.max", "memory.high", "memory.low", "memory.swap.max")
    )
    limits = {file: _limit(f"{directory}/{file}") for file in names}
    low = limits.pop("memory.low", None)
    if not low and all(value is None for value in limits.values()):
        return None
    values = cgroup.read(cgroup.CgroupPlace(version, name, directory, None, directory)).values
    pressed = values.get("memory.pressure.some_avg10")
    return Group(
        name=printable(name)[:256] or "/",
        version=version,
        directory=directory,
        current=values.get("memory.current"),
        max=values.get("memory.max"),
        high=values.get("memory.high"),
        low=low,
        swap_max=values.get("memory.swap.max"),
        swap_current=values.get("memory.swap.current"),
        pressure=None if pressed is None else pressed / 10_000,
        events={key: values["memory.events." + key] for key in _KEPT_EVENTS if "memory.events." + key in values},
    )


def _with_new(group: Group, before: Group | None, seconds: float) -> Group:
    return group if before is None else replace(group, new=increases(before.events, group.events), seconds=seconds)


def _fullness(group: Group) -> float:
    limits = [limit for limit in (group.max, group.high) if limit]
    return max((group.current or 0) / limit for limit in limits) if limits else 0.0


def _limit(path: str) -> int | None:
    value = _number(path)
    return None if value is None or value >= _NO_LIMIT else value


def _number(path: str) -> int | None:
    text = _content(path).strip()
    negative = text.startswith(b"-")
    value = to_int(text[negative:])
    return None if value is None else -value if negative else value


def _content(path: str) -> bytes:
    """Empty when it cannot be read."""
    try:
        return read_file(path, 1 << 16)
    except OSError:
        return b""


def _text(value: Fact | None) -> str | None:
    return None if value is None else str(value)
