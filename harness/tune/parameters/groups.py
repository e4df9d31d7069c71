"""Limits of control groups. Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst."""

from __future__ import annotations

from collections.abc import Callable

from harness.model.finding import Evidence
from harness.tune.figures import context, percent, size, supports
from harness.tune.model import Group, Host, Judgement, Kind, Parameter, Verdict, leave, none, strongest, unknown, watch

_HELD_UP = 0.1  # of the time, its tasks waited for memory
_EVENTS_A_SECOND = 1.0
_MOST_NAMED = 3


def _of(host: Host, value: Callable[[Group], int | None]) -> list[Group]:
    return [group for group in host.groups if value(group) is not None]


def _unreadable(host: Host) -> Judgement | None:
    return unknown("Control groups could not be read.") if host.groups_seen is None and not host.groups else None


def _rate(group: Group, *events: str) -> float:
    return sum(group.new.get(event, 0) for event in events) / group.seconds if group.seconds > 0 else 0.0


def _about(group: Group, limit: int | None, text: str) -> Evidence:
    used = None if group.current is None or not limit else group.current / limit
    share = "" if used is None else f", {percent(used)} of {size(limit)}"
    return context("memory.current", group.current, "bytes", f"{group.name}: {size(group.current)}{share}{text}")


def _count(group: Group, key: str) -> str:
    return f", hit {group.events[key]} times in all" if group.events.get(key) else ""


def _max(host: Host) -> Judgement:
    groups = _of(host, lambda group: group.max)
    if not groups:
        return _unreadable(host) or none("No group that can be seen here has a limit.")
    return strongest([*(_one_max(group) for group in groups), leave(
        "No group was at its limit while it was looked "
        "at.", *(_about(g, g.max, _count(g, _hit(g))) for g in groups[:_MOST_NAMED])
    )])  # fmt: skip


def _hit(group: Group) -> str:
    return "failcnt" if group.version == 1 else "max"


def _one_max(group: Group) -> Judgement:
    killed, rate = group.new.get("oom_kill", 0), _rate(group, _hit(group))
    if not killed and rate < _EVENTS_A_SECOND:
        return leave("")
    about = _about(
        group,
        group.max,
        f": {rate:.1f} times a second at its limit, {killed} processes killed in {group.seconds:.0f} s",
    )
    return Judgement(
        Verdict.WATCH,
        f"{group.name} is at its limit. First find out what fills it: page cache fills every limit and is harmless, "
        f"anonymous memory that "
        "grows is a leak that a higher limit only delays. A watch says which: harness watch PID.",
        (about,), group=group, verify="harness watch: memory.stat anon against file; harness run: the verdict",
    )  # fmt: skip


def _high(host: Host) -> Judgement:
    groups = _of(host, lambda group: group.high)
    if not groups:
        early = _unreadable(host)
        only_v1 = host.groups and all(group.version == 1 for group in host.groups)
        return early or none(
            "Version 1 of control groups has no such limit."
            if only_v1
            else "No group that can be seen here has this limit."
        )
    return strongest([*(_one_high(group, host) for group in groups), leave(
        "No group was slowed down by it while it was looked "
        "at.", *(_about(g, g.high, _count(g, "high")) for g in groups[:_MOST_NAMED])
    )])  # fmt: skip


def _one_high(group: Group, host: Host) -> Judgement:
    rate = _rate(group, "high")
    if rate < _EVENTS_A_SECOND or group.pressure is None or group.pressure < _HELD_UP or group.high is None:
        return leave("")
    target = group.high * 5 // 4
    room = group.max is None or target < group.max
    evidence = (
        supports("memory.events high", rate, "per second", f"{group.name} was slowed down {rate:.1f} times a second"),
        supports("memory.pressure", group.pressure, "share", f"its tasks waited for memory {percent(group.pressure)} "
        f"of the last 10 s"),
        _about(group, group.high, ""),
    )  # fmt: skip
    available = host.available_share
    if not room or available is None or available < 0.1:
        return Judgement(
            Verdict.WATCH,
            f"{group.name} is slowed down by memory.high, and there is no room to raise it.",
            evidence,
            group=group,
        )
    return Judgement(
        Verdict.CHANGE,
        f"{group.name} is slowed down: its tasks must reclaim again and again to stay below memory.high, while the "
        f"machine has memory.",
        evidence, str(target), group,
        expected="its tasks no longer wait for memory",
        risk="a service that leaks takes the difference too, later; that it is slowed down instead of killed is what "
        "memory.high is for",
        verify="harness tune --over 60s under the same load: its pressure falls below 10 %, events high stand still",
    )  # fmt: skip


def _low(host: Host) -> Judgement:
    groups = [group for group in host.groups if group.low]
    if not groups:
        return _unreadable(host) or leave(
            "No group is protected from reclaim. That is worth doing for one that others push out, which a look at "
            "the whole machine cannot tell."
        )
    broken = [group for group in groups if _rate(group, "low") > 0]
    if broken:
        group = broken[0]
        return watch(
            f"{group.name} was reclaimed from although it is protected: what is promised to groups is more than the "
            f"machine has.",
            _about(group, group.low, f": {_rate(group, 'low'):.1f} times a second below its protection"),
        )
    return leave("Protected groups were left alone.", *(_about(g, g.low, " protected") for g in groups[:_MOST_NAMED]))


def _swap_max(host: Host) -> Judgement:
    groups = _of(host, lambda group: group.swap_max)
    if not host.has_swap:
        return none("This machine has no swap.")
    if not groups:
        return _unreadable(host) or none("No group that can be seen here has a limit on swap.")
    return leave(
        "The right way to keep one service out of swap: vm.swappiness is for everybody.",
        *(context("memory.swap.current", g.swap_current, "bytes", f"{g.name}: {size(g.swap_current)} of "
        f"{size(g.swap_max)}") for g in groups[:_MOST_NAMED]),
    )  # fmt: skip


def _shown(value: Callable[[Group], int | None]) -> Callable[[Host], str | None]:
    def shown(host: Host) -> str | None:
        if host.groups_seen is None and not host.groups:
            return None
        count = len(_of(host, value))
        return f"set in {count} of {host.groups_seen or len(host.groups)} groups" if count else "not set"

    return shown


_FILES: tuple[tuple[str, Callable[[Host], Judgement], Callable[[Group], int | None]], ...] = (
    ("memory.max", _max, lambda group: group.max),
    ("memory.high", _high, lambda group: group.high),
    ("memory.low", _low, lambda group: group.low or None),
    ("memory.swap.max", _swap_max, lambda group: group.swap_max),
)
PARAMETERS = tuple(
    Parameter(f"cgroup.{file}", Kind.CGROUP, file, (), judge, unit="bytes", shown=_shown(value))
    for file, judge, value in _FILES
)
