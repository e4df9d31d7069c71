"""Where the agents of a run write, and whose they are: the run's own directory, one mounted into a container, one on
another host. An adapter is asked for each place with the context of that place, about processes of that place only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.model.process import ProcessInfo, ProcessKey
from harness.plugins.spec import AdapterContext, LanguageAdapter
from harness.store.afar import by_our_clock
from harness.store.intake import Intake
from harness.store.lives import InsidePids
from harness.store.timings import Timings, together
from harness.store.writer import Recorder

_QUESTIONS = 20  # at several a second
_TICK_NS = 20_000_000  # a process is born at a clock tick, its agent speaks in ns
_MEDIAN, _MOST = 0.5, 0.95
Holds = Callable[[ProcessInfo], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """``name``: in messages; empty for the run's own directory. ``holds``: whether a process's agent would write there; the run's
    own directory has all that no other place holds. ``pids``: how the ids that agents write become ours; None: they are ours."""

    name: str
    context: AdapterContext
    intake: Intake
    holds: Holds
    pids: InsidePids | None = None
    silence: str = ""  # why nothing may have been written there; empty: the adapter may know

    @property
    def host(self) -> str:
        """As in `ProcessKey`: empty for this machine."""
        return "" if self.context.away is None else self.context.away.host

    def announced(self, info: ProcessInfo) -> bool:
        """Whether an agent has said that it is in this process, and not in an earlier one of its id."""
        at_ns = self.intake.announced_ns(info.key.pid)
        return at_ns is not None and at_ns >= info.born_ns - _TICK_NS


class Places:
    """The places of one run; the first is the run's own directory. ``context``: of that one."""

    def __init__(self, recorder: Recorder, adapter: LanguageAdapter | None, context: AdapterContext) -> None:
        self._recorder = recorder
        self._adapter = adapter
        sources = () if adapter is None else adapter.record_sources(context)
        intake = Intake(recorder, context.work_dir, sources)
        self.own = Place("", context, intake, lambda info: not info.key.host)
        self.others: list[Place] = []
        self._logged: InsidePids | None = None

    def add(
        self, name: str, context: AdapterContext, followed: Callable[[], Iterable[ProcessInfo]], holds: Holds,
        read: Callable[[int], int | None], silence: str,
    ) -> Place:  # fmt: skip
        """One more. ``context``: its own ``work_dir``, ``token`` and ``away``; the ids of its agents are mapped here.

        ``followed``: all processes that are followed; ``read``: from our id of a process to that by which its agent calls it,
        None = not known.
        """
        pids = InsidePids(lambda: [info for info in followed() if holds(info)], read)
        context = replace(context, outside_pid=pids.outside)
        sources = [] if self._adapter is None else self._adapter.record_sources(context)
        here = [
            by_our_clock(source, context.away) for source in sources if source.follow is None
        ]  # logs are followed once
        place = Place(
            name, context, Intake(self._recorder, context.work_dir, here, pids.placed, name), holds, pids, silence
        )
        self.others.append(place)
        return place

    def logs_from_inside(
        self, followed: Callable[[], Iterable[ProcessInfo]], read: Callable[[int], int | None]
    ) -> None:
        """The target is in containers of this machine, so ids in logs that are followed are inner ones. Those of whom the adapter
        speaks for, that is: others have the same small numbers. Arguments as for `add`."""
        if self._adapter is None or not self.own.intake.follows_logs:
            return
        writers = _Writers(followed, partial(self._adapter.speaks_for, self.own.context))
        self._logged = InsidePids(writers.known, read)
        self.own.intake.place_logged = self._logged.placed_now

    @property
    def all(self) -> tuple[Place, ...]:
        """The run's own comes first."""
        return (self.own, *self.others)

    def of(self, info: ProcessInfo) -> Place | None:
        """Where a process's agent writes, if there is one in it; None on a host that has no agent."""
        return next((place for place in (*self.others, self.own) if place.holds(info)), None)

    def of_span(self, span_id: str) -> Place | None:
        """Where the request was recorded; None: nowhere yet."""
        return next((place for place in self.all if place.intake.saw(span_id)), None)

    def ended(self, info: ProcessInfo, code: int | None = None, signal: int | None = None) -> None:
        """A process is no more; see `InsidePids`."""
        for place in self.others:
            if place.pids is not None and place.holds(info):
                place.pids.ended(info, code, signal)
        if self._logged is not None:
            self._logged.ended(info, code, signal)

    def poll(self) -> None:
        """Store what the agents have written since the last call."""
        self._look()
        for place in self.all:
            place.intake.poll()

    def drain(self) -> None:
        """All that is there."""
        self._look()
        for place in self.all:
            place.intake.drain()

    def _look(self) -> None:
        for pids in (self._logged, *(place.pids for place in self.others)):
            if pids is not None:
                pids.look()

    def close(self) -> None:
        """Nobody writes any more."""
        for place in self.all:
            place.intake.close()

    @property
    def requests(self) -> int:
        """Records of requests so far."""
        return sum(place.intake.requests for place in self.all)

    @property
    def costs(self) -> dict[str, float | None]:
        """What agents took of a request, as costs of the run: empty where no request was recorded by one, None where none was
        timed. With agents in several places also the median of each that is not the run's own."""
        recording = [place for place in self.all if place.intake.agent_requests]
        if not recording:
            return {}
        timed = together(place.intake.agent_costs for place in recording)
        each = [place for place in recording if place.name] if len(recording) > 1 else []
        return {
            "agent_us_per_request": _us(timed, _MEDIAN),
            "agent_us_per_request_p95": _us(timed, _MOST),
            "agent_requests_timed": float(timed.count),
            **{f"agent_us_per_request.{place.name}": _us(place.intake.agent_costs, _MEDIAN) for place in each},
        }

    @property
    def boots(self) -> int:
        """Processes that announced themselves."""
        return sum(place.intake.boots for place in self.all)

    @property
    def unparsed(self) -> int:
        """Lines that were no records."""
        return sum(place.intake.unparsed for place in self.all)

    @property
    def never_placed(self) -> int:
        """Requests of which nobody knows whose they are."""
        return sum(place.intake.never_placed for place in self.all)

    @property
    def unreadable_logs(self) -> Sequence[Path]:
        """See `Intake`."""
        return self.own.intake.unreadable_logs


class _Writers:
    """The processes of this machine among ``followed`` that somebody speaks for. A worker may be seen before it has its title, so
    each is asked about a few times."""

    def __init__(
        self, followed: Callable[[], Iterable[ProcessInfo]], speaks_for: Callable[[Sequence[int]], Sequence[int]]
    ) -> None:
        self._followed = followed
        self._speaks_for = speaks_for
        self._asked: Counter[ProcessKey] = Counter()
        self._theirs: set[ProcessKey] = set()

    def known(self) -> list[ProcessInfo]:
        """Those of them that live."""
        alive = [info for info in self._followed() if not info.key.host]
        unknown = {i.key.pid: i.key for i in alive if i.key not in self._theirs and self._asked[i.key] < _QUESTIONS}
        if unknown:
            self._asked.update(unknown.values())
            self._theirs |= {unknown[pid] for pid in self._speaks_for(sorted(unknown))}
        return [info for info in alive if info.key in self._theirs]


def grouped(places: Places, infos: Iterable[ProcessInfo]) -> Mapping[str, tuple[Place, list[ProcessInfo]]]:
    """Processes by the place they are of, under its name."""
    found: dict[str, tuple[Place, list[ProcessInfo]]] = {}
    for info in infos:
        place = places.of(info)
        if place is None:
            continue
        found.setdefault(place.name, (place, []))[1].append(info)
    return found


def _us(timings: Timings, share: float) -> float | None:
    found = timings.quantile_ns(share)
    return None if found is None else found / 1000
