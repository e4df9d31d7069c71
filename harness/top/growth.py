"""How fast processes grew between two looks, and groups of them: members that came and went count, as they do for the machine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from harness.sampling.protocol import Identity
from harness.top.model import Growth, Look, Process

MINUTE_NS = 60_000_000_000
Keys = Mapping[Identity, Hashable]


def growth_by_key(now: Look, then: Look | None, keys_now: Keys, keys_then: Keys) -> dict[Hashable, Growth]:
    """Growth of every group that was there at both looks (a new one has none yet): bytes per minute.

    Measured on PSS where it was read at both looks, else on RSS. A walk that is older than the process's last change counts
    as not read. A process is put in the group it is in now.
    """
    if then is None or now.taken_ns <= then.taken_ns:
        return {}
    before = {process.who: process for process in then.processes}
    existed = {keys_then[who] for who in before}
    exist = {keys_now[process.who] for process in now.processes}
    gap_ns = now.taken_ns - then.taken_ns
    rates: dict[Hashable, float] = {}
    bases: dict[Hashable, set[str]] = {}

    def add(key: Hashable, rate: tuple[float, str] | None) -> None:
        if rate is not None and key in existed and key in exist:
            rates[key] = rates.get(key, 0.0) + rate[0]
            bases.setdefault(key, set()).add(rate[1])

    for process in now.processes:
        earlier = before.pop(process.who, None)
        if earlier is not None:
            key = keys_now[process.who]
            existed.add(key)
            add(key, _rate(process, earlier, gap_ns))
        else:
            add(keys_now[process.who], _whole(process, gap_ns, 1))
    for process in before.values():
        add(keys_then[process.who], _whole(process, gap_ns, -1))
    return {key: Growth(round(rate), _basis(bases[key])) for key, rate in rates.items()}


def _rate(now: Process, then: Process, gap_ns: int) -> tuple[float, str] | None:
    if now.pss is not None and then.pss is not None and not now.stale and not then.stale:
        return (now.pss - then.pss) * MINUTE_NS / max(now.known_ns - then.known_ns, 1), "pss"
    if now.rss is None or then.rss is None:
        return None
    return (now.rss - then.rss) * MINUTE_NS / gap_ns, "rss"


def _whole(process: Process, gap_ns: int, sign: int) -> tuple[float, str] | None:
    """All of a process that came (+1) or went (-1)."""
    size, basis = (process.rss, "rss") if process.pss is None else (process.pss, "pss")
    return None if size is None else (sign * size * MINUTE_NS / gap_ns, basis)


def _basis(bases: set[str]) -> str:
    return bases.pop() if len(bases) == 1 else "mixed"
