"""Logs of the target's own that are followed while it is in containers: small ids, which others have as well. What agents of
several places took."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from timelines import manifest, process

from harness.model.process import ProcessInfo
from harness.model.span import RequestRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, LanguageAdapter, RecordSource
from harness.session.agents.places import Places
from harness.store.reader import read_run
from harness.store.writer import Recorder


def parse(line: bytes) -> RequestRecord | None:
    found = re.fullmatch(rb"([0-9]+) GET /", line)
    return (
        None
        if found is None
        else RequestRecord("log", int(found[1]), None, None, None, None, None, "GET /", 200, None, {})
    )


class Adapter:
    """Follows one log, and speaks for those that ``titled`` names."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.titled: set[int] = {500}
        self.asked: list[int] = []

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        return [RecordSource("", parse, follow=self._log)]

    def speaks_for(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[int]:
        self.asked += pids
        return [pid for pid in pids if pid in self.titled]


class World:
    def __init__(self, directory: Path) -> None:
        self.log = directory / "access.log"
        self.log.touch()
        (directory / "run").mkdir()
        self._directory = directory / "run"
        self.adapter = Adapter(self.log)
        self.recorder = Recorder(self._directory)
        self.recorder.manifest(manifest())
        self.inner: dict[int, int] = {500: 7, 600: 7, 501: 8}
        self.alive: list[ProcessInfo] = [process(500), process(600)]
        context = AdapterContext(self._directory, "own", {}, ())
        self.places = Places(self.recorder, cast("LanguageAdapter", self.adapter), context)

    def from_inside(self, read: Callable[[int], int | None] | None = None) -> None:
        self.places.logs_from_inside(lambda: self.alive, read or self.inner.get)

    def write(self, *pids: int) -> list[int]:
        """Whose the lines are, as recorded so far."""
        with self.log.open("a") as file:
            file.writelines(f"{pid} GET /\n" for pid in pids)
        self.places.poll()
        self.recorder.commit()
        return sorted(record.pid for record in read_run(self._directory).records)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.places.close()
    made.recorder.close()


def test_without_containers_ids_are_ours(world: World) -> None:
    assert world.write(7) == [7]


def test_the_one_of_that_number_whom_the_adapter_speaks_for(world: World) -> None:
    world.from_inside()
    assert world.write(7, 7) == [500, 500]
    assert world.places.unreadable_logs == []


def test_who_gets_a_title_later_is_found_and_nobody_is_asked_for_ever(world: World) -> None:
    world.from_inside()
    world.alive.append(process(501))
    assert world.write(8) == []
    world.adapter.titled.add(501)
    assert world.write() == [501]
    for _ in range(50):
        world.places.poll()
    assert world.adapter.asked.count(600) == 20
    assert world.adapter.asked.count(500) == 1


def test_two_pools_with_that_number_are_not_guessed_between(world: World) -> None:
    world.adapter.titled.add(600)
    world.from_inside()
    assert world.write(7) == []
    world.places.close()
    assert world.places.never_placed == 1


def test_a_worker_of_another_host_is_none_of_this_log(world: World) -> None:
    world.alive = [process(500, host="web-1")]
    world.from_inside()
    assert world.write(7) == []


class Agents:
    """Every place has one file of records."""

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        return [RecordSource("records", parse_record)]


def request_of(pid: int) -> str:
    now_ns = time.monotonic_ns()
    return (
        json.dumps({"k": "req", "rt": "python", "pid": pid, "t0": now_ns, "t1": now_ns, "name": "GET /", "v": {}})
        + "\n"
    )


def cost_of(pid: int, taken_ns: int) -> str:
    return json.dumps({"k": "cost", "rt": "python", "pid": pid, "t": time.monotonic_ns(), "ns": taken_ns}) + "\n"


def test_what_agents_took_is_told_of_all_and_of_each_place_and_is_never_zero(world: World, tmp_path: Path) -> None:
    own, there = tmp_path / "own", tmp_path / "there"
    own.mkdir()
    there.mkdir()
    places = Places(world.recorder, cast("LanguageAdapter", Agents()), AdapterContext(own, "own", {}, ()))
    far = process(7, host="web-1")
    places.add(
        "web-1", AdapterContext(there, "far", {}, ()), lambda: [far], lambda info: info == far, lambda pid: pid, ""
    )
    assert places.costs == {}
    (own / "records").write_text(request_of(500))
    places.poll()
    unknown = {"agent_us_per_request": None, "agent_us_per_request_p95": None, "agent_requests_timed": 0.0}
    assert places.costs == unknown
    (there / "records").write_text(request_of(7))
    places.drain()
    assert places.costs == {**unknown, "agent_us_per_request.web-1": None}
    with (own / "records").open("a") as records:
        records.writelines(cost_of(500, taken_ns) for taken_ns in (10_000, 11_000, 12_000))
    with (there / "records").open("a") as records:
        records.writelines(cost_of(7, taken_ns) for taken_ns in (20_000, 30_000))
    places.drain()
    assert places.costs == {
        "agent_us_per_request": 12.0, "agent_us_per_request_p95": 30.0, "agent_requests_timed": 5.0,
        "agent_us_per_request.web-1": 20.0,
    }  # fmt: skip
    places.close()
