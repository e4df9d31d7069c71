"""Looks become rows: processes put together by what is asked for, summed, and ordered."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from harness.sampling.redact import printable
from harness.top.growth import Keys, growth_by_key
from harness.top.model import By, Growth, Look, Process, Row, Snapshot, Sort, Sum

NameOf = Callable[[int], str]  # user name of a uid


def snapshot(
    now: Look, then: Look | None, by: By, sort: Sort, user_name: NameOf, selection: str = ""
) -> Snapshot:  # fmt: skip
    """The rows of a look, with their growth since an earlier one."""
    keys_now = _keys(now, by)
    keys_then: Keys = {} if then is None else _keys(then, by)
    growth = growth_by_key(now, then, keys_now, keys_then)
    groups: dict[Hashable, list[Process]] = {}
    for process in now.processes:
        groups.setdefault(keys_now[process.who], []).append(process)
    rows = [_row(now, by, members, growth.get(key), user_name) for key, members in groups.items()]
    rows.sort(key=_ORDER[sort])
    everything: Keys = dict.fromkeys([p.who for p in (*now.processes, *(() if then is None else then.processes))], 0)
    overall = growth_by_key(now, then, everything, everything).get(0)
    totals = _sums("total", by, None, list(now.processes), overall, user_name)
    over_ns = None if then is None else now.taken_ns - then.taken_ns
    return Snapshot(now, by, sort, over_ns, tuple(rows), totals, selection)


def _keys(look: Look, by: By) -> Keys:
    if by is By.PROCESS:
        return {process.who: process.who for process in look.processes}
    if by is By.POOL:
        return {process.who: look.families[process.who][:2] for process in look.processes}
    if by is By.CGROUP:
        return {process.who: process.cgroup for process in look.processes}
    return {process.who: process.uid for process in look.processes}


def _row(look: Look, by: By, members: Sequence[Process], growth: Growth | None, user_name: NameOf) -> Row:
    first = members[0]
    if by is By.PROCESS:
        return _sums(first.command, by, first.who.pid, members, growth, user_name)
    if by is By.POOL:
        family = look.families[first.who]
        return _sums(family.name, by, family.head.pid, members, growth, user_name)
    if by is By.CGROUP:
        name = "(unknown control group)" if first.cgroup is None else printable(first.cgroup)
        return _sums(name, by, None, members, growth, user_name)
    name = "(unknown user)" if first.uid is None else printable(user_name(first.uid))
    return _sums(name, by, None, members, growth, user_name)


def _sums(
    name: str, by: By, pid: int | None, members: Sequence[Process], growth: Growth | None, user_name: NameOf
) -> Row:
    uids = {process.uid for process in members}
    uid = uids.pop() if len(uids) == 1 else None
    return Row(
        name=name,
        by=by,
        pid=pid,
        uid=uid,
        user=None if uid is None else printable(user_name(uid)),
        processes=len(members),
        threads=total(process.threads for process in members),
        age_ns=max((process.age_ns for process in members), default=0),
        pss=total(process.pss for process in members),
        uss=total(process.uss for process in members),
        rss=total(process.rss for process in members),
        swap=total(process.swap for process in members),
        swap_pss=total(process.swap_pss for process in members),
        growth=growth,
        stale=any(process.stale and process.walk is not None for process in members),
        rank=sum((p.rss or 0) if p.pss is None else p.pss for p in members),
    )


def total(values: Iterable[int | None]) -> Sum:
    """Their sum; nothing at all sums to 0, nothing known to None."""
    known = missing = 0
    count = 0
    for value in values:
        if value is None:
            missing += 1
        else:
            known += value
            count += 1
    return Sum(known if count or not missing else None, missing)


def _down(key: Callable[[Row], int | None]) -> Callable[[Row], tuple[object, ...]]:
    """Largest first, unknown last, equal ones by rank, name and pid, so that rows do not jump."""

    def order(row: Row) -> tuple[object, ...]:
        value = key(row)
        return value is None, -(value or 0), -row.rank, row.name, row.pid or 0

    return order


_ORDER: dict[Sort, Callable[[Row], tuple[object, ...]]] = {
    Sort.PSS: _down(lambda row: row.rank),
    Sort.USS: _down(lambda row: row.uss.known),
    Sort.RSS: _down(lambda row: row.rss.known),
    Sort.SWAP: _down(lambda row: row.swap.known),
    Sort.GROWTH: _down(lambda row: None if row.growth is None else row.growth.bytes_per_minute),
    Sort.PID: lambda row: (row.pid is None, row.pid or 0, row.name),
    Sort.NAME: lambda row: (row.name.casefold(), row.name, row.pid or 0),
}
