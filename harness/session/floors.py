"""Asks the agents inside the target how their memory stands: at round ends, and as probes after the last measured round.

The sampler's sweep of a floor comes first, so that it sees the target as it was; what the agents answer is stored under the
instant of that sweep, where the same value read from outside is. What a target writes is not believed: only metrics that
`harness.model.metric` knows are stored, under times of our own.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.clock import Clock
from harness.errors import HarnessError
from harness.model.event import PROBE_COLLECT, PROBE_TRIM, Event, Missing
from harness.model.metric import describe
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import FloorRecord
from harness.plugins.spec import FloorDepth, LanguageAdapter
from harness.session.agents.places import Places, grouped
from harness.session.background import in_background
from harness.session.pump import Pump
from harness.store.writer import Recorder
from harness.units import format_bytes

WAIT_S = 3.0
_PATIENCE = 2  # questions in a row that a process may leave unanswered before it is not waited for any more
_MOST_MISSING = 32  # different reasons that a target may give
_LIVE = ("blocks", "heap.size_bytes")
_FEWEST_LEVELS = 4
_GARBAGE_SHARE = 0.05  # of the growth: less than this does not change any verdict
_UNITS = {"_bytes": "bytes", "_ns": "ns"}
_WAITED = "requests had to wait or were slow: what they took is not theirs alone"
_COSTS = "what its allocators hold is known from outside only, where that can be read"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one process said of itself."""

    process: ProcessInfo
    record: FloorRecord

    def change(self, name: str) -> int | None:
        """``<name>_after`` less ``<name>_before``, the unit behind; None when one of them is not known."""
        stem, _, unit = name.partition(":")
        suffix = f"_{unit}" if unit else ""
        before, after = (self.record.values.get(f"{stem}_{when}{suffix}") for when in ("before", "after"))
        return None if before is None or after is None else after - before


class Floors:
    """One conversation with the agents of a run, in all its places. ``followed``: the processes of measured pools that are alive;
    ``instant``: when a host (see `ProcessKey`) swept for the floor whose sweep was at this time on the first one."""

    def __init__(
        self, pump: Pump, recorder: Recorder, places: Places, clock: Clock, adapter: LanguageAdapter | None,
        followed: Callable[[], Iterable[ProcessInfo]], instant: Callable[[int, str], int] = lambda t_ns, _: t_ns,
    ) -> None:  # fmt: skip
        self._pump = pump
        self._recorder = recorder
        self._places = places
        self._clock = clock
        self._adapter = adapter
        self._followed = followed
        self._instant = instant
        self._number = 0
        self._spoken: set[ProcessKey] = set()
        self._silent: Counter[ProcessKey] = Counter()
        self._said: set[Missing] = set()
        self._latest: dict[str, int] = {}  # instants, by host
        self._live: defaultdict[ProcessKey, list[int]] = defaultdict(list)  # allocations or bytes, at round ends
        self._asked = self._answered = self._longest_ns = 0
        self._waited_s = 0.0
        wanted = str(places.own.context.options.get("floors", "none"))
        self._depth = None if wanted == "none" else FloorDepth(wanted)

    @property
    def costs(self) -> dict[str, float | None]:
        """What asking cost, for the run's costs; nothing when nobody was asked."""
        if not self._asked:
            return {}
        return {
            "agent_floors_asked": float(self._asked),
            "agent_floors_answered": float(self._answered),
            "agent_floors_waited_s": round(self._waited_s, 6),
            "agent_floor_longest_ms": self._longest_ns / 1e6,
        }

    @property
    def possible(self) -> bool:
        """Whether there is anybody to ask, and the scenario lets us."""
        return self._depth is not None and self._adapter is not None and bool(self._present())

    def at_round_end(self, floor_ns: int | None) -> None:
        """Ask as the scenario says. ``floor_ns``: the sweep this belongs to, None: to no sweep."""
        if self._depth is not None:
            for answer in self._ask(self._depth, floor_ns):
                values = answer.record.values
                live = next((v for v in (values.get(name) for name in _LIVE) if v is not None), None)
                if live is not None and floor_ns is not None:
                    self._live[answer.process.key].append(live)

    def collect(self, floor_ns: int, kind: str = PROBE_COLLECT) -> bool:
        """The probe: one full garbage collection in every process, and what it freed. Whether that may explain what the rounds
        have added in some process: then it has to be known how much of it was there before them."""
        matters = False
        for answer in self._ask(FloorDepth.COLLECT, floor_ns):
            blocks, heap = answer.change("collect.blocks"), answer.change("collect.size:bytes")
            resident = answer.change("collect.rss:bytes")
            objects, pause_ns = (answer.record.values.get(f"collect.{name}") for name in ("objects", "pause_ns"))
            if objects is None or pause_ns is None:
                continue
            text = (
                f"a garbage collection in {_who(answer)} freed {objects} objects"
                f"{'' if blocks is None else f' ({-blocks} blocks)'}"
                f"{'' if heap is None else f' ({format_bytes(-heap)} of the heap)'}"
                f"{_resident(resident)} in {pause_ns / 1e6:.1f} ms"
            )
            freed = {
                "objects": objects,
                "blocks": None if blocks is None else -blocks,
                "rss_bytes": _negative(resident),
            }
            self._event(kind, answer, text, {**freed, "pause_ns": pause_ns})
            matters |= self._may_explain(answer.process.key, blocks if heap is None else heap)
        return matters

    def _may_explain(self, process: ProcessKey, change: int | None) -> bool:
        """``change``: of live allocations or bytes, by a collection. The second half of the round ends speaks for the whole."""
        levels = self._live[process]
        if change is None or len(levels) < _FEWEST_LEVELS:
            return False
        grown = 2 * (levels[-1] - levels[len(levels) // 2])
        return grown > 0 and -change >= _GARBAGE_SHARE * grown

    def trim(self) -> None:
        """The last probe: have free memory given back to the kernel."""
        for answer in self._ask(FloorDepth.TRIM, None):
            resident, real = answer.change("trim.rss:bytes"), answer.change("trim.real:bytes")
            pause_ns = answer.record.values.get("trim.pause_ns")
            if pause_ns is None:
                continue
            heap = "" if real is None else f", size of the heap {format_bytes(real, sign=True)}"
            text = f"free memory of {_who(answer)} was given back{heap}{_resident(resident)} in {pause_ns / 1e6:.1f} ms"
            freed = {"rss_bytes": _negative(resident), "pause_ns": pause_ns}
            self._event(PROBE_TRIM, answer, text, freed if real is None else {**freed, "real_bytes": _negative(real)})

    # -- asking --------------------------------------------------------------------------------------------------------

    def _present(self) -> list[ProcessInfo]:
        """Processes that an agent announced itself in, those left out that did not answer any more; and those whose server
        answers for them."""
        found = []
        assert self._adapter is not None
        spoken: set[ProcessKey] = set()
        for place, infos in grouped(self._places, self._followed()).values():
            pids = set(self._adapter.speaks_for(place.context, [info.key.pid for info in infos]))
            spoken |= {info.key for info in infos if info.key.pid in pids}
            for info in infos:
                if info.key in spoken:
                    found.append(info)
                    continue
                if place.announced(info) and self._silent[info.key] < _PATIENCE:
                    found.append(info)
        self._spoken = spoken
        return found

    def _ask(self, depth: FloorDepth, floor_ns: int | None) -> Sequence[Answer]:
        """Ask all that are there and wait for them, at most `WAIT_S`."""
        if self._adapter is None:
            return ()
        self._places.poll()
        asked = {info.key: info for info in self._present()}
        if not asked:
            return ()
        self._number = max(self._number + 1, self._clock.monotonic_ns())
        for place in self._places.all:
            place.intake.expect(self._number)
        told = self._order(depth, asked.values())
        if told is None:
            return ()
        waiting = told & asked.keys()
        began = time.monotonic()
        if not self._pump.until(lambda: self._heard(asked, waiting), WAIT_S / 3):
            # A signal that comes just before a blocking call waits for its end; the next one interrupts it.
            silent = waiting - self._answers(asked.values()).keys()
            self._order(depth, [asked[key] for key in silent])
            self._pump.until(lambda: self._heard(asked, waiting), WAIT_S * 2 / 3)
        self._waited_s += time.monotonic() - began
        answers = [Answer(asked[key], said) for key, said in self._answers(asked.values()).items() if key in waiting]
        self._asked += len(waiting)
        self._answered += len(answers)
        self._note_silence(asked, waiting, {answer.process.key for answer in answers})
        self._store(self._number if floor_ns is None else floor_ns, answers)
        return answers

    def _order(self, depth: FloorDepth, infos: Iterable[ProcessInfo]) -> set[ProcessKey] | None:
        """Who was told; None where orders can be written nowhere. Why they cannot is among what is missing."""
        assert self._adapter is not None
        told: set[ProcessKey] | None = None
        asked = []
        for place, those in grouped(self._places, infos).values():
            keys = {info.key.pid: info.key for info in those}
            # In the background: a server, or a worker at a bad moment, lets us wait.
            order = (place.context, self._number, depth, sorted(keys))
            asked.append((keys, in_background(self._adapter.ask_floor, *order)))
        for keys, future in asked:
            future.add_done_callback(self._pump.wake)
            self._pump.until(future.done)
            try:
                told = (told or set()) | {keys[pid] for pid in future.result() if pid in keys}
            except HarnessError as error:
                self._missing("orders", str(error))
        return told

    def _answers(self, infos: Iterable[ProcessInfo]) -> dict[ProcessKey, FloorRecord]:
        """What has come so far."""
        return {
            info.key: place.intake.answers[info.key.pid]
            for place, those in grouped(self._places, infos).values()
            for info in those
            if info.key.pid in place.intake.answers
        }

    def _heard(self, asked: Mapping[ProcessKey, ProcessInfo], waiting: set[ProcessKey]) -> bool:
        """Whether all have answered that have not ended meanwhile."""
        self._places.poll()
        alive = {info.key for info in self._followed()}
        answered = self._answers(asked.values())
        return all(key in answered or key not in alive for key in waiting)

    def _note_silence(
        self, asked: Mapping[ProcessKey, ProcessInfo], waiting: set[ProcessKey], answered: set[ProcessKey]
    ) -> None:
        assert self._adapter is not None
        for key, info in asked.items():
            if key in self._spoken:
                continue  # the adapter has said why
            if key in answered:
                self._silent[key] = 0
                continue
            self._silent[key] += 1
            if key not in waiting:
                context = (self._places.of(info) or self._places.own).context
                self._missing("orders", self._adapter.explain_unasked(context, key.pid))
            else:
                why = f"some processes ran no code of their language for {WAIT_S:.0f} s, or ended, and did not answer"
                self._missing("floor", why)

    # -- storing -------------------------------------------------------------------------------------------------------

    def _store(self, t_ns: int, answers: Sequence[Answer]) -> None:
        assert self._adapter is not None
        rows: dict[str, list[tuple[str, ProcessKey | None, int]]] = {}  # by host: each swept at an instant of its own
        for answer in answers:
            key, record = answer.process.key, answer.record
            known = samples_of(self._adapter.name, record.values)
            of_host = rows.setdefault(key.host, [])
            of_host += [(metric, key, value) for metric, value in known]
            lag_ns = record.t_ns - self._instant(t_ns, key.host)
            if 0 <= lag_ns <= 2 * WAIT_S * 1e9:
                of_host.append((f"agent.{self._adapter.name}.lag", key, lag_ns))
            self._longest_ns = max(self._longest_ns, record.values.get("floor_ns") or 0)
            for what, why in record.missing.items():
                self._missing(what, why)
        for host, told in rows.items():  # instants only rise, whatever a host says of its clock
            self._latest[host] = max(self._instant(t_ns, host), self._latest.get(host, 0))
            self._recorder.samples(self._latest[host], told, lane=f"agent.{host}" if host else "agent")

    def _missing(self, what: str, why: str) -> None:
        assert self._adapter is not None
        costs = _WAITED if what.startswith("pool.") else _COSTS
        missing = Missing(f"agent.{self._adapter.name}.{what}", why, costs)
        if missing not in self._said and len(self._said) < _MOST_MISSING:
            self._said.add(missing)
            self._recorder.missing(missing)

    def _event(self, kind: str, answer: Answer, text: str, attributes: Mapping[str, int | None]) -> None:
        self._recorder.event(Event(self._number, kind, answer.process.key, text, attributes))


def samples_of(runtime: str, values: Mapping[str, int | None]) -> list[tuple[str, int]]:
    """The known values as metrics ``agent.<runtime>.<name without its unit>``; what is no metric of ours is left out. Pure."""
    found = []
    for name, value in values.items():
        suffix = next((s for s in _UNITS if name.endswith(s)), "")
        metric = f"agent.{runtime}.{name.removesuffix(suffix)}"
        try:
            unit = describe(metric).unit
        except KeyError:
            continue
        if value is not None and unit == _UNITS.get(suffix, "count"):
            found.append((metric, value))
    return found


def _who(answer: Answer) -> str:
    return f"{answer.process.comm} (pid {answer.process.key.pid})"


def _resident(change: int | None) -> str:
    return "" if change is None else f", RSS {format_bytes(change, sign=True)},"


def _negative(number: int | None) -> int | None:
    return None if number is None else -number
