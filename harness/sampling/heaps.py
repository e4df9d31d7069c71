"""Into the runtimes from outside: which process gets a reader, when it is read, and what happens when it refuses.

Attaching costs some ten ms of CPU, or two for a build that is known already, counters some ten us, walking a heap some ms per
32 MB. So attaching waits until a process does something or a floor wants to know, and is paid for over the following sweeps;
counters are read in every sweep of the processes that did something, while half of the budget covers them, else in turns; and
heaps are walked at floors only.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Callable, Dict, List, Mapping, Sequence, Set, Tuple, TypeVar

from .missing import MissingSignals
from .outside.attach import ATTACH
from .outside.fast_lane import FastLane
from .outside.freeze import Frozen
from .outside.process import Process
from .outside.reader import Probe, Reader, Values
from .outside.refusal import Gone, Refused, Torn, Unreadable
from .protocol import Identity, fast_line, pause_line, runtime_line, types_line
from .sources.numbers import LIMIT, TICK_NS
from .tree import Followed

_YOUNG_NS = 1_000_000_000  # a process that lives shorter is not worth attaching to
_ATTACH_SHARE = 0.5  # of the budget, until an attachment is paid for
_COUNTERS_SHARE = 0.5
_IDLE_NS = 10_000_000_000  # CPU time is told in steps of 10 ms: less than that is looked for this often
_MOST_AT_FLOOR_NS = 2_000_000_000
_TRIES = 3  # at a walk or an attachment, before it counts as refused
_REFUSED_IN_A_ROW, _TORN_IN_A_ROW = 2, 20  # before the signal is announced as missing
_TYPES_ALL_BYTES = 64 << 20  # heaps above this are sampled
_TYPES_EVERY = 8
_MOST_TYPES = 200
_TYPES_PROCESSES = 2  # of each pool
_PYTHON_LIVE = "runtime.python.pymalloc.live"
_WALKED = (_PYTHON_LIVE, "runtime.php.heap.free_pages")
_FAST_CHANGES, FAST_CHANGES_OF_ALL = 2000, 12_000  # between two sweeps; a line of the pipe holds them
_SMOOTHING = 0.2
_T = TypeVar("_T")
_COSTS = {
    "python": "live and held memory of the Python heap are unknown unless an agent in the target says so",
    "php": "live and held memory of the PHP heap are unknown unless an agent in the target says so",
    "glibc": "what malloc holds and what of it is in use is unknown, so a native leak and fragmentation look alike",
}


class Looked:
    """One process that was opened, and its readers."""

    __slots__ = (
        "attempts", "first_mark", "mark", "probe", "process", "read_ns", "readers", "refusals", "refused", "retry_ns",
    )  # fmt: skip

    def __init__(self, first_mark: Tuple[int | None, ...]) -> None:
        self.first_mark = first_mark  # what the process had done at first sight
        self.process: Process | None = None
        self.readers: List[Reader] = []
        self.probe: Probe | None = None
        self.refusals: Dict[str, int] = {}  # in a row, by runtime
        self.refused = 0  # readings refused so far
        self.attempts = 0
        self.retry_ns = 0
        # The last counters: when they were read, and what the process had done by then.
        self.read_ns = 0
        self.mark: Tuple[int | None, ...] = ()

    def close(self) -> None:
        """Let go of the process."""
        if self.process is not None:
            self.process.close()
            self.process = None
        self.readers = []
        self.probe = None


class Heaps:
    """The readers of all followed processes."""

    def __init__(
        self, mount: str, missing: MissingSignals, emit: Callable[[bytes], None], budget_ns: float, freeze: bool
    ) -> None:
        self._mount = mount
        self._missing = missing
        self._emit = emit
        self._budget_ns = budget_ns  # the whole sampler's CPU time for one sweep
        self._freeze = freeze
        self._looked: Dict[Identity, Looked] = {}
        self._debt_ns = 0.0
        self._counters_ns = 0.0  # of all processes in one sweep
        self._turn = 0
        self._counted: Set[Identity] = set()
        self._lane = FastLane(3, _FAST_CHANGES, FAST_CHANGES_OF_ALL)
        self._probes: List[Tuple[Identity, Probe]] = []
        self._lane_began_ns = 0

    def forget(self, who: Identity) -> None:
        """The process has ended."""
        self._counted.discard(who)
        looked = self._looked.pop(who, None)
        if looked is not None:
            looked.close()
            self._lane.forget(who)

    def start_fast(self, now_ns: int) -> None:
        """From now on `fast` is called, much more often than there are sweeps."""
        self._lane.start(now_ns)
        self._lane_began_ns = now_ns
        self._find_probes()

    def fast(self, now_ns: int) -> None:
        """One sample of every PHP heap that can be read."""
        for who, probe in self._probes:
            try:
                sample = probe.sample()
            except Refused:
                continue  # it has gone, which the next sweep will find
            self._lane.add(who, now_ns, sample)

    def take_fast(self, now_ns: int) -> None:
        """Announce what `fast` has collected; what has been attached to meanwhile is sampled from now on."""
        for who, lane in self._lane.take(now_ns).items():
            if isinstance(who, Identity):
                self._emit(fast_line(who, self._lane_began_ns, lane))
        self._lane_began_ns = now_ns
        self._find_probes()

    def _find_probes(self) -> None:
        self._probes = [
            (who, looked.probe) for who, looked in self._looked.items() if looked.probe is not None and looked.readers
        ]

    def attach(self, processes: Sequence[Followed], now_ns: int, boot_ns: int, everything: bool) -> None:
        """Open processes that have no readers yet; at most what the budget pays for, at floors all that 2 s allow."""
        self._debt_ns = max(0.0, self._debt_ns - _ATTACH_SHARE * self._budget_ns)
        deadline_ns = time.monotonic_ns() + _MOST_AT_FLOOR_NS
        for process in processes:
            looked = self._current(process)
            if looked.process is not None or looked.attempts >= _TRIES or now_ns < looked.retry_ns:
                continue
            young = now_ns - (boot_ns + process.who.start_ticks * TICK_NS) < _YOUNG_NS
            idle = process.activity == looked.first_mark
            if process.stat.rss_pages is None or (not everything and (young or idle or self._debt_ns > 0)):
                continue
            before_ns = time.thread_time_ns()
            self._attach(process, looked, now_ns)
            self._debt_ns += time.thread_time_ns() - before_ns
            if everything and time.monotonic_ns() > deadline_ns:
                break

    def counters(self, processes: Sequence[Followed], now_ns: int, everything: bool) -> Dict[Identity, Values]:
        """The cheap readings of those that have done something since their last one, or of some in turn when all are too dear."""
        allowance_ns = max(_COUNTERS_SHARE * self._budget_ns, 1.0)
        turns = 1 if everything else max(1, -int(-self._counters_ns // allowance_ns))
        self._turn += 1
        before_ns = time.thread_time_ns()
        found: Dict[Identity, Values] = {}
        read = 0
        for position, process in enumerate(processes):
            looked = self._looked.get(process.who)
            if looked is None or not looked.readers or (position + self._turn) % turns:
                continue
            if everything or process.activity != looked.mark or now_ns - looked.read_ns >= _IDLE_NS:
                looked.mark, looked.read_ns = process.activity, now_ns
                found[process.who] = self._each(looked, lambda reader: reader.counters())
                read += 1
        if read:
            spent_ns = (time.thread_time_ns() - before_ns) * turns
            self._counters_ns += _SMOOTHING * (spent_ns - self._counters_ns)
        return found

    def walk(self, process: Followed, now_ns: int) -> Values:
        """Occupancy of the heaps of one process; nothing while part of it is swapped out is the caller's to decide."""
        looked = self._looked.get(process.who)
        if looked is None or looked.process is None or not looked.readers:
            return {}
        if not self._freeze:
            return self._each(looked, _walk_patiently)
        try:
            with Frozen(looked.process) as frozen:
                values = self._each(looked, _walk_patiently)
        except Refused as refusal:
            self._missing.say("process.freeze", str(refusal), "heaps are read while the process runs")
            return self._each(looked, _walk_patiently)
        self._emit(pause_line(process.who, now_ns, frozen.paused_ns))
        return values

    def types(self, processes: Sequence[Followed], walked: Mapping[Identity, Mapping[str, int]], now_ns: int) -> None:
        """Announce living objects by type, of the processes of each pool that did most, and of the same ones every time.

        ``walked``: what has just been read of each process. A heap that was not walked now is not counted either: part of the
        process may be swapped out, and reading would bring it back in.
        """
        for process in self._examples(processes):
            values = walked.get(process.who, {})
            looked = self._looked.get(process.who)
            for reader in [] if looked is None or not any(name in values for name in _WALKED) else looked.readers:
                every = 1 if values.get(_PYTHON_LIVE, 0) <= _TYPES_ALL_BYTES else _TYPES_EVERY
                try:
                    rows = _guarded(partial(reader.types, every))
                except Refused:
                    continue
                rows = [row for row in rows[:_MOST_TYPES] if max(row.number, row.size_bytes) <= LIMIT]
                if rows:
                    self._emit(types_line(process.who, reader.runtime, every, rows, now_ns))

    def _examples(self, processes: Sequence[Followed]) -> List[Followed]:
        """Workers of a pool are alike, and counting takes half a second for a million objects."""
        chosen: List[Followed] = []
        pools: Dict[str, List[Followed]] = {}
        for process in processes:
            if self._looked.get(process.who) is not None:
                pools.setdefault(process.pool, []).append(process)
        for members in pools.values():
            members.sort(key=lambda p: (p.who not in self._counted, -(p.stat.cpu_ticks or 0), p.who))
            chosen += members[:_TYPES_PROCESSES]
        self._counted.update(process.who for process in chosen)
        return chosen

    def _current(self, process: Followed) -> Looked:
        looked = self._looked.get(process.who)
        if looked is None or (
            looked.process is not None and not looked.process.same(process.who.start_ticks, process.stat.image)
        ):
            if looked is not None:
                looked.close()  # it executes another program now
            looked = self._looked[process.who] = Looked(process.activity)
        return looked

    def _attach(self, process: Followed, looked: Looked, now_ns: int) -> None:
        looked.attempts += 1
        try:
            opened = looked.process = Process(self._mount, process.who.pid)
        except Unreadable as refusal:
            looked.attempts = _TRIES
            if not isinstance(refusal, Gone):
                self._missing.say(
                    "runtime.memory", str(refusal), "live and held memory inside the runtimes are unknown"
                )
            return
        torn = False
        for name, attach in ATTACH.items():
            try:
                reader = _guarded(partial(attach, opened))
            except Unreadable:
                break
            except Refused as refusal:
                torn = torn or isinstance(refusal, Torn)
                if looked.attempts >= _TRIES or not isinstance(refusal, Torn):
                    self._missing.say("runtime." + name, str(refusal), _COSTS[name])
                continue
            if reader is not None:
                looked.readers.append(reader)
                looked.probe = looked.probe or reader.probe()
                self._emit(runtime_line(process.who, reader.runtime, reader.facts, now_ns))
                for signal, reason in reader.missing.items():
                    self._missing.say(signal, reason, "the rest of what is read of this runtime from outside is there")
        if torn and looked.attempts < _TRIES:
            looked.close()
            looked.retry_ns = now_ns + looked.attempts * _YOUNG_NS

    def _each(self, looked: Looked, ask: Callable[[Reader], Values]) -> Values:
        values: Values = {}
        for reader in looked.readers:
            try:
                values.update(_plausible(_guarded(partial(ask, reader))))
                looked.refusals[reader.runtime] = 0
            except Unreadable:
                break
            except Refused as refusal:
                looked.refused += 1
                in_a_row = looked.refusals.get(reader.runtime, 0) + 1
                looked.refusals[reader.runtime] = in_a_row
                if in_a_row == (_TORN_IN_A_ROW if isinstance(refusal, Torn) else _REFUSED_IN_A_ROW):
                    self._missing.say(
                        "runtime.{}.readings".format(reader.runtime), str(refusal), _COSTS[reader.runtime]
                    )
        if looked.readers:
            values["runtime.refused"] = looked.refused
        return values


def _guarded(reading: "Callable[[], _T]") -> _T:
    """Readers refuse what they do not trust. Whatever else a target's memory may make one raise must not end the run either."""
    try:
        return reading()
    except Refused:
        raise
    except Exception as error:  # the last line of defence of the whole recording
        raise Refused("an unexpected {}: a defect of harness, please report it".format(type(error).__name__)) from error


def _plausible(values: Values) -> Values:
    """Words of a hostile target may be anything. Raises Refused for what no consumer can hold."""
    if values and (max(values.values()) > LIMIT or min(values.values()) < -LIMIT):
        raise Refused("a value has more than 63 bits")
    return values


def _walk_patiently(reader: Reader) -> Values:
    for _ in range(_TRIES - 1):
        try:
            return reader.walk()
        except Torn:
            continue
    return reader.walk()
