"""Write measured values: at once into a small table that only grows at its end, every `SPAN` ticks from there into chunks.

Each lane (a source of instants of its own: the sampler, the load generator) numbers its ticks without a gap. The series of a
lane take turns: at tick k those whose id is k modulo `SPAN` are packed, so that every commit packs a few and none many, and after
`SPAN` ticks a row of `sample_tail` is needed by nobody. Until then a row of `chunk` without a base says where the view finds the
values. All of it happens inside the recorder's transactions: whatever was committed is complete, wherever its values lie.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.model.process import ProcessKey
from harness.store.chunk import Chunk, pack

SPAN = 128
LANE_SHIFT = 40  # tick ids of a lane: its number in the high bits; room for 34 years at 1 kHz
_SHORT = 64  # a last chunk of fewer values is packed again together with what follows
_TAKE_BACK = "DELETE FROM chunk WHERE series_id = ? AND first_tick >= ?"
_CHUNK = "INSERT INTO chunk VALUES (?,?,?,?,?,?,?,?,?,?)"
_TICK = "INSERT INTO tick VALUES (?,?)"
_VALUE = "INSERT OR REPLACE INTO sample_tail VALUES (?,?,?)"
_FORGET = "DELETE FROM sample_tail WHERE tick_id >= ? AND tick_id < ?"


@dataclass(slots=True)
class _Series:
    """What of a series may still change: values in the tail, after those of a short last chunk."""

    number: int
    ticks: array[int] = field(default_factory=lambda: array("q"))
    values: array[int] = field(default_factory=lambda: array("q"))
    packed: int = 0  # so many of the values are in the last chunk already
    last: Chunk | None = None  # the last chunk, where it may be continued

    def open_row(self) -> tuple[int | str | None, ...]:
        return (self.number, self.ticks[self.packed], 1, None, SPAN, None, 0, 0, 0, None)


@dataclass(slots=True)
class _Lane:
    number: int
    first: int
    next: int
    t_ns: int | None = None  # of the last tick written by this recorder
    earlier_ns: int | None = None  # of the last tick written before it
    turns: list[dict[int, _Series]] = field(default_factory=lambda: [{} for _ in range(SPAN)])
    series: dict[int | None, dict[str, _Series]] = field(default_factory=dict)  # by process id and metric
    ended: deque[tuple[int, int]] = field(default_factory=deque)  # from which tick on which process id may be forgotten

    @classmethod
    def at(cls, number: int) -> _Lane:
        return cls(number, number << LANE_SHIFT, number << LANE_SHIFT)


class SampleWriter:
    """Owns the tables `lane`, `tick`, `series`, `sample_tail` and `chunk`. sqlite3.Error passes through."""

    def __init__(self, db: sqlite3.Connection, processes: dict[ProcessKey, int]) -> None:
        """``processes``: ids of the rows of `process`, kept up to date by the owner."""
        self._db = db
        self._processes = processes
        self._lanes: dict[str, _Lane] = {}

    def resume(self) -> None:
        """Continue what an earlier writer left."""
        for number, name in self._db.execute("SELECT id, name FROM lane").fetchall():
            self._lanes[name] = self._resume_lane(_Lane.at(number))

    def _resume_lane(self, lane: _Lane) -> _Lane:
        within = (lane.first, lane.first + (1 << LANE_SHIFT))
        sql = "SELECT id, t_ns FROM tick WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
        for tick, t_ns in self._db.execute(sql, within):
            lane.next, lane.earlier_ns = tick + 1, t_ns
        by_number: dict[int, _Series] = {}
        sql = "SELECT id, metric, process_id FROM series WHERE lane_id = ?"
        for number, metric, process_id in self._db.execute(sql, (lane.number,)):
            by_number[number] = lane.series.setdefault(process_id, {})[metric] = _Series(number)
        sql = (
            "SELECT t.series_id, t.tick_id, t.value FROM sample_tail t JOIN chunk c ON c.series_id = t.series_id"
            " AND c.base IS NULL AND t.tick_id >= c.first_tick WHERE t.tick_id >= ? AND t.tick_id < ? ORDER BY t.tick_id"
        )
        for number, tick, value in self._db.execute(sql, within):
            series = by_number[number]
            series.ticks.append(tick)
            series.values.append(value)
            lane.turns[number % SPAN][number] = series
        return lane

    def add(self, t_ns: int, rows: Iterable[tuple[str, ProcessKey | None, int]], lane_name: str) -> None:
        """Values of one instant. See `Recorder.samples`."""
        lane = self._lanes.get(lane_name) or self._new_lane(lane_name)
        if t_ns != lane.t_ns:
            self._next_tick(lane, t_ns)
        tick = lane.next - 1
        tail: list[tuple[int, int, int]] = []
        opened: list[tuple[int | str | None, ...]] = []
        process: ProcessKey | None = None
        known = self._of(lane, None)
        for metric, key, value in rows:
            if key is not process:  # rows come process by process
                process, known = key, self._of(lane, key)
            series = known.get(metric) or self._new_series(lane, metric, process)
            ticks = series.ticks
            if len(ticks) == series.packed:
                series.values.append(value)
                ticks.append(tick)
                opened.append(series.open_row())
                lane.turns[series.number % SPAN][series.number] = series
            elif ticks[-1] == tick:
                series.values[-1] = value
            else:
                series.values.append(value)  # first: it refuses what has no 64 bits
                ticks.append(tick)
            tail.append((tick, series.number, value))
        self._db.executemany(_VALUE, tail)
        self._db.executemany(_CHUNK, opened)

    def ended(self, process: ProcessKey) -> None:
        """Its last values are there or come with the next tick: once they are packed nothing of it stays in memory, so that
        workers which are recycled all day take no more room than those that live."""
        number = self._processes[process]
        for name, lane in tuple(self._lanes.items()):
            if number not in lane.series:
                continue
            if any(series for other, series in lane.series.items() if other != number):
                lane.ended.append((lane.next + 2 * SPAN, number))
            else:  # a lane of its own, in which no tick comes any more that would pack
                self._pack_lane(lane)
                self._db.execute(_FORGET, (lane.first, lane.next))
                del self._lanes[name]

    def pack_all(self) -> None:
        """Move everything from the tail into chunks: nothing more will be added."""
        for lane in self._lanes.values():
            self._pack_lane(lane)
        if self._lanes:
            self._db.execute("DELETE FROM sample_tail")

    def _next_tick(self, lane: _Lane, t_ns: int) -> None:
        before = lane.earlier_ns if lane.t_ns is None else lane.t_ns
        if before is not None and t_ns <= before:
            raise ValueError(f"values at {t_ns} ns after values at {before} ns: the instants of a lane only rise")
        self._db.execute(_TICK, (lane.next, t_ns))
        self._pack(lane.turns[lane.next % SPAN])
        if lane.next % SPAN % 16 == 0:
            self._db.execute(_FORGET, (lane.first, lane.next - SPAN))
        while lane.ended and lane.ended[0][0] <= lane.next:
            self._forget(lane, lane.ended.popleft()[1])
        lane.next += 1
        lane.t_ns = t_ns

    @staticmethod
    def _forget(lane: _Lane, process_id: int) -> None:
        if any(series.ticks for series in lane.series.get(process_id, {}).values()):  # more was said of it after all
            lane.ended.append((lane.next + 2 * SPAN, process_id))
        else:
            lane.series.pop(process_id, None)

    def _pack_lane(self, lane: _Lane) -> None:
        for turn in lane.turns:
            self._pack(turn)

    def _pack(self, turn: dict[int, _Series]) -> None:
        if not turn:
            return
        take_back: list[tuple[int, int]] = []
        chunks: list[tuple[object, ...]] = []
        for number, series in tuple(turn.items()):
            if len(series.ticks) == series.packed:  # nothing came for a whole round: keep nothing of it in memory
                del turn[number], series.ticks[:], series.values[:]
                series.packed, series.last = 0, None
                continue
            found = pack(series.ticks, series.values)
            from_tick = series.ticks[0]
            if series.last is not None and series.packed == 0:
                longer = series.last.joined(found[0])
                if longer is not None:
                    found[0], from_tick = longer, longer.first_tick
            take_back.append((number, from_tick))
            chunks += [(number, *chunk) for chunk in found]
            self._keep(series, found[-1])
        self._db.executemany(_TAKE_BACK, take_back)
        self._db.executemany(_CHUNK, chunks)

    @staticmethod
    def _keep(series: _Series, last: Chunk) -> None:
        """Hold on to as much of the last chunk as is worth to pack again."""
        again = last.n if last.n < _SHORT and (last.width or last.ticks) else 0
        del series.ticks[: len(series.ticks) - again], series.values[: len(series.values) - again]
        series.packed = again
        series.last = last

    def _of(self, lane: _Lane, process: ProcessKey | None) -> dict[str, _Series]:
        return lane.series.setdefault(None if process is None else self._processes[process], {})

    def _new_series(self, lane: _Lane, metric: str, process: ProcessKey | None) -> _Series:
        process_id = None if process is None else self._processes[process]
        for name, other in self._lanes.items():
            if metric in other.series.get(process_id, ()):
                raise ValueError(f"{metric} belongs to the lane {name}")
        row = (metric, process_id, lane.number)
        try:
            cursor = self._db.execute("INSERT INTO series (metric, process_id, lane_id) VALUES (?,?,?)", row)
            number = int(cursor.lastrowid or 0)
        except sqlite3.IntegrityError:  # of a process that was forgotten, and is heard of again
            sql = "SELECT id FROM series WHERE metric = ? AND process_id = ? AND lane_id = ?"
            known = self._db.execute(sql, row).fetchone()
            if known is None:
                raise ValueError(f"{metric} belongs to another lane") from None
            (number,) = known
        found = lane.series[process_id][metric] = _Series(number)
        return found

    def _new_lane(self, name: str) -> _Lane:
        known = self._db.execute("SELECT id FROM lane WHERE name = ?", (name,)).fetchone()
        if known is not None:  # forgotten with its only process
            found = self._resume_lane(_Lane.at(known[0]))
        else:
            (number,) = self._db.execute("SELECT coalesce(max(id) + 1, 0) FROM lane").fetchone()
            self._db.execute("INSERT INTO lane VALUES (?,?)", (number, name))
            found = _Lane.at(number)
        self._lanes[name] = found
        return found
