"""Which process a pid meant at a given time. Pids are reused, so a pid alone answers nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.process import ProcessInfo, ProcessKey

TICK_NS = 10_000_000  # born_ns comes from clock ticks, so a life may begin up to one tick before it


@dataclass(frozen=True, slots=True)
class _Life:
    start_ns: int
    end_ns: int | None
    key: ProcessKey


class Lifetimes:
    """Lookup of processes by pid and time.

    An exit is noticed up to one sweep late, but a pid's next life cannot begin before the last one ended: the next birth
    closes the previous life exactly.
    """

    def __init__(self, processes: Iterable[ProcessInfo]) -> None:
        by_host: dict[tuple[str, int], list[ProcessInfo]] = defaultdict(list)
        for info in processes:
            by_host[info.key.host, info.key.pid].append(info)
        self._lives: dict[int, list[_Life]] = defaultdict(list)
        for (_, pid), infos in by_host.items():
            infos.sort(key=lambda p: (p.born_ns, p.key.start_ticks))
            for index, info in enumerate(infos):
                end = info.ended_ns
                if index + 1 < len(infos):
                    following = infos[index + 1].born_ns - TICK_NS
                    end = following if end is None else min(end, following)
                self._lives[pid].append(_Life(info.born_ns - TICK_NS, end, info.key))

    def find(self, pid: int, t_ns: int, host: str = "") -> ProcessKey | None:
        """The process that had ``pid`` at ``t_ns``; None when none had, or when two hosts make it ambiguous. ``host``: on which
        it was; empty where nobody said."""
        found = [
            x.key
            for x in self._lives.get(pid, ())
            if x.start_ns <= t_ns and (x.end_ns is None or t_ns <= x.end_ns) and host in ("", x.key.host)
        ]
        return found[0] if len(found) == 1 else None
