"""What the session makes of the answers of agents, hostile ones too. The agents here are lines that the test writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from timelines import manifest, process

from harness.clock import SystemClock
from harness.errors import HarnessError
from harness.model.event import Event
from harness.model.process import ProcessInfo
from harness.model.run import RawRun
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, FloorDepth, LanguageAdapter, RecordSource
from harness.session import floors as module
from harness.session.agents.places import Places
from harness.session.floors import Floors, samples_of
from harness.session.pump import Pump
from harness.store.reader import read_run
from harness.store.writer import Recorder


@dataclass
class Agents:
    """An adapter whose agents write what ``script`` says: pid -> fields of the answer, None: they are told and keep silent."""

    file: Path
    script: dict[int, Mapping[str, object] | None] = field(default_factory=dict)
    name: str = "python"
    asked: list[tuple[FloorDepth, tuple[int, ...]]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    spoken_for: tuple[int, ...] = ()
    trouble: HarnessError | None = None
    trouble_from: int = 1  # from which order on

    def say(self, **record: object) -> None:
        with self.file.open("a") as stream:
            stream.write(json.dumps({"rt": "python", "t": time.monotonic_ns(), **record}) + "\n")

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        return [RecordSource("records/*", parse_record)]

    def speaks_for(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[int]:
        return self.spoken_for

    def ask_floor(self, context: AdapterContext, number: int, depth: FloorDepth, pids: Sequence[int]) -> Sequence[int]:
        if self.trouble is not None and len(self.asked) + 1 >= self.trouble_from:
            raise self.trouble
        self.asked.append((depth, tuple(pids)))
        self.numbers.append(number)
        told = [pid for pid in pids if pid in self.script]
        for pid in told:
            answer = self.script[pid]
            if answer is not None:
                self.say(**{"k": "floor", "pid": pid, "n": number, **answer})
        return told

    def explain_unasked(self, context: AdapterContext, pid: int) -> str:
        return f"process {pid} handles the signal itself"


@dataclass
class World:
    """A run being recorded with some processes in it."""

    directory: Path
    agents: Agents
    people: list[ProcessInfo]
    floors: Floors
    recorder: Recorder

    def close(self) -> RawRun:
        self.recorder.close()
        return read_run(self.directory)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    monkeypatch.setattr(module, "WAIT_S", 0.3)
    open_pumps = []

    def make(options: Mapping[str, object] | None = None, announced: Sequence[int] = (11, 12)) -> World:
        directory = tmp_path / "run"
        work = directory / "work"
        (work / "records").mkdir(parents=True)
        agents = Agents(work / "records" / "python-1.ndjson")
        agents.file.touch()
        recorder = Recorder(directory)
        recorder.manifest(manifest())
        pump = Pump(lambda: None)
        pump.__enter__()
        open_pumps.append(pump)
        people = [process(pid, born=time.monotonic_ns()) for pid in (11, 12)]
        for info in people:
            recorder.process(info)
        context = AdapterContext(work, "", {"floors": "look"} if options is None else options, ())
        adapter = cast("LanguageAdapter", agents)  # all of it that is used
        floors = Floors(pump, recorder, Places(recorder, adapter, context), SystemClock(), adapter, lambda: people)
        for pid in announced:
            agents.say(k="boot", pid=pid, version="3.11", argv="x")
        return World(directory, agents, people, floors, recorder)

    yield make
    for pump in open_pumps:
        pump.__exit__(None, None, None)


def series(run: RawRun, metric: str) -> dict[int, list[tuple[int, int]]]:
    return {
        key.pid: list(zip(found.t_ns.tolist(), found.values.tolist(), strict=True))
        for (name, key), found in run.series.items()
        if name == metric and key is not None
    }


def test_answers_are_samples_of_the_floor_they_belong_to(world: Callable[..., World]) -> None:
    w = world()
    w.agents.script = {
        11: {"v": {"pymalloc.live_bytes": 100, "blocks": 7}},
        12: {"v": {"pymalloc.live_bytes": 200, "blocks": None}},
    }
    at = time.monotonic_ns()
    w.floors.at_round_end(at)
    run = w.close()
    assert w.agents.asked == [(FloorDepth.LOOK, (11, 12))]
    assert series(run, "agent.python.pymalloc.live") == {11: [(at, 100)], 12: [(at, 200)]}
    assert series(run, "agent.python.blocks") == {11: [(at, 7)]}
    [(lag_at, lag)] = series(run, "agent.python.lag")[11]
    assert lag_at == at
    assert 0 <= lag < 1e9
    assert run.missing == []
    assert w.floors.costs["agent_floors_answered"] == 2


def test_only_processes_that_announced_themselves_are_asked(world: Callable[..., World]) -> None:
    w = world(announced=[12])
    w.agents.script = {11: {}, 12: {}}
    w.floors.at_round_end(None)
    assert w.agents.asked == [(FloorDepth.LOOK, (12,))]


def test_an_announcement_of_an_earlier_process_of_the_pid_does_not_count(world: Callable[..., World]) -> None:
    w = world()
    w.people[0] = replace(w.people[0], born_ns=time.monotonic_ns() + 10**9)
    w.agents.script = {12: {}}
    w.floors.at_round_end(None)
    assert w.agents.asked == [(FloorDepth.LOOK, (12,))]


@pytest.mark.parametrize("options", [{"floors": "none"}, {}])
def test_nothing_is_asked_where_the_scenario_does_not_want_it(
    world: Callable[..., World], options: Mapping[str, object]
) -> None:
    w = world(options)
    w.floors.at_round_end(None)
    assert not w.floors.possible
    assert w.agents.asked == []
    assert w.floors.costs == {}


def test_collecting_at_round_ends_is_what_the_scenario_may_ask_for(world: Callable[..., World]) -> None:
    w = world({"floors": "collect"})
    w.agents.script = {11: {}, 12: {}}
    w.floors.at_round_end(None)
    assert w.agents.asked == [(FloorDepth.COLLECT, (11, 12))]


def test_silence_is_said_once_with_its_reason_and_not_waited_for_again(world: Callable[..., World]) -> None:
    w = world()
    w.agents.script = {11: None}  # 11 keeps silent, 12 takes no question
    for _ in range(4):
        w.floors.at_round_end(None)
    run = w.close()
    assert [pids for _, pids in w.agents.asked] == [(11, 12), (11,)] * 2, (
        "each question once more, for who has not answered"
    )
    assert not w.floors.possible
    reasons = {missing.signal: missing.reason for missing in run.missing}
    assert "did not answer" in reasons["agent.python.floor"]
    assert "handles the signal itself" in reasons["agent.python.orders"]
    assert len(run.missing) == 2


def test_numbers_rise_and_answers_to_other_questions_are_no_answers(world: Callable[..., World]) -> None:
    w = world(announced=[11])
    w.agents.script = {11: {"n": 5, "v": {"blocks": 1}}}
    w.floors.at_round_end(None)
    w.agents.script = {11: {"v": {"blocks": 2}}}
    w.floors.at_round_end(None)
    run = w.close()
    first, reminder, second = w.agents.numbers
    assert first == reminder < second
    assert [value for _, value in series(run, "agent.python.blocks")[11]] == [2]


def test_what_a_target_makes_up_is_not_stored(world: Callable[..., World]) -> None:
    w = world(announced=[11])
    hostile = {
        "made.up_bytes": 1,
        "process.memory.rss": 2,
        "blocks_bytes": 3,
        "pymalloc.live": 4,
        "../x": 5,
        "blocks": 6,
    }
    reasons = {f"r{n}": "because\x00" for n in range(50)} | {"pymalloc": "x" * 5000, "A B": "no name"}
    w.agents.script = {11: {"t": 2**62, "v": hostile, "missing": reasons}}
    for _ in range(20):
        w.floors.at_round_end(None)
    run = w.close()
    assert {name for name, _ in run.series} == {"agent.python.blocks"}
    assert len(run.missing) == 8
    assert all(len(missing.reason) <= 160 for missing in run.missing)


def test_an_answer_for_somebody_else_is_none(world: Callable[..., World]) -> None:
    w = world(announced=[11])
    w.agents.script = {11: {"pid": 12, "v": {"blocks": 1}}}
    w.floors.at_round_end(None)
    assert series(w.close(), "agent.python.blocks") == {}


def test_orders_that_cannot_be_written_are_missing_and_not_the_end(world: Callable[..., World]) -> None:
    w = world()
    w.agents.trouble = HarnessError("cannot write order: No space left on device")
    w.floors.at_round_end(None)
    [missing] = w.close().missing
    assert missing.reason == "cannot write order: No space left on device"


def test_a_reminder_that_cannot_be_written_is_not_the_end_either(world: Callable[..., World]) -> None:
    w = world(announced=[11])
    w.agents.script = {11: None}
    w.agents.trouble = HarnessError("cannot write order: No space left on device")
    w.agents.trouble_from = 2
    w.floors.at_round_end(None)
    assert w.floors.costs["agent_floors_asked"] == 1
    assert "cannot write order: No space left on device" in [missing.reason for missing in w.close().missing]


def events(run: RawRun, kind: str) -> list[Event]:
    return [event for event in run.events if event.kind == kind]


def test_probes_are_events_with_what_they_freed(world: Callable[..., World]) -> None:
    w = world()
    collected = {
        "collect.objects": 5,
        "collect.pause_ns": 2_000_000,
        "collect.blocks_before": 30,
        "collect.blocks_after": 10,
        "collect.rss_before_bytes": 8 << 20,
        "collect.rss_after_bytes": 6 << 20,
    }
    w.agents.script = {11: {"v": collected}, 12: {"v": {"blocks": 1}, "missing": {"collect": "busy"}}}
    w.floors.collect(time.monotonic_ns())
    w.agents.script = {
        11: {"v": {"trim.pause_ns": 10, "trim.rss_before_bytes": 50, "trim.rss_after_bytes": 20, "trim.released": 1}},
        12: {"missing": {"trim": "only glibc's"}},
    }
    w.floors.trim()
    run = w.close()
    assert [depth for depth, _ in w.agents.asked] == [FloorDepth.COLLECT, FloorDepth.TRIM]
    [probe] = events(run, "probe.collect")
    assert probe.process == w.people[0].key
    assert probe.attributes == {"objects": 5, "blocks": 20, "rss_bytes": 2 << 20, "pause_ns": 2_000_000}
    assert "freed 5 objects (20 blocks), RSS -2.0 MiB" in probe.text
    [trim] = events(run, "probe.trim")
    assert trim.attributes == {"rss_bytes": 30, "pause_ns": 10}
    assert {(m.signal, m.reason) for m in run.missing} == {
        ("agent.python.collect", "busy"),
        ("agent.python.trim", "only glibc's"),
    }


def test_values_become_metrics_without_their_unit() -> None:
    values = {"collect.pause_ns": 3, "glibc.used_bytes": 4, "gc.collections2": 5, "fds": None, "threads_ns": 1}
    assert samples_of("python", values) == [
        ("agent.python.collect.pause", 3),
        ("agent.python.glibc.used", 4),
        ("agent.python.gc.collections2", 5),
    ]
    assert samples_of("php", values) == [("agent.php.collect.pause", 3)], "what PHP does not have is left out"


def test_a_server_is_asked_for_workers_in_which_no_agent_is(world: Callable[..., World]) -> None:
    w = world(announced=())
    w.agents.spoken_for = (11, 12)
    w.agents.script = {12: {"v": {"blocks": 7}, "missing": {"pool.queue": "3 requests waited", "pymalloc": "no"}}}
    assert w.floors.possible
    for _ in range(4):  # who is never told of is no reason to stop asking
        w.floors.at_round_end(time.monotonic_ns())
    run = w.close()
    assert w.agents.asked == [(FloorDepth.LOOK, (11, 12))] * 4
    assert {pid: len(values) for pid, values in series(run, "agent.python.blocks").items()} == {12: 4}
    costs = {m.signal: m.costs for m in run.missing}
    assert costs.keys() == {"agent.python.pool.queue", "agent.python.pymalloc"}
    assert "had to wait" in costs["agent.python.pool.queue"]


def test_a_server_that_cannot_be_asked_is_missing_once_and_asked_again(world: Callable[..., World]) -> None:
    w = world(announced=())
    w.agents.spoken_for = (11,)
    w.agents.trouble = HarnessError("pool www: it does not listen")
    for _ in range(3):
        w.floors.at_round_end(time.monotonic_ns())
    w.agents.trouble = None
    w.agents.script = {11: {"v": {"blocks": 7}}}
    w.floors.at_round_end(time.monotonic_ns())
    run = w.close()
    assert [(m.signal, m.reason) for m in run.missing] == [("agent.python.orders", "pool www: it does not listen")]
    assert series(run, "agent.python.blocks").keys() == {11}


def test_a_host_whose_clock_ran_ahead_of_a_floor_without_a_sweep_ends_nothing(world: Callable[..., World]) -> None:
    """Instants of one source only rise; that of a sweep is the other host's word."""
    here = world()
    for info in here.people:
        here.agents.script[info.key.pid] = {"v": {"blocks": 7}}
    late_ns = time.monotonic_ns() + (1 << 40)
    here.floors.at_round_end(late_ns)
    here.floors.at_round_end(None)
    values = series(here.close(), "agent.python.blocks")
    assert values[11] == [(late_ns, 7)]
