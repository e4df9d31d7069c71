"""What a mirror makes of another host that says what it likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, cast

import pytest
from timelines import process

from harness.errors import TargetError
from harness.session.agents import mirror as module
from harness.session.agents.mirror import Mirror, keeping
from harness.session.hosts.remote import RemoteHost
from harness.session.pump import Handler, Pump
from harness.store.afar import Arrived, arrived_in

NAME = "ab" * 16 + ".json"
AHEAD_NS = 1000


class Part:
    """The part on the other host: ``said`` is what home says to it."""

    complaints = b""
    ended = False

    def __init__(self) -> None:
        self.said: list[Mapping[str, Any]] = []
        self.sent = threading.Event()
        self.handler: Handler = lambda _: None

    def listen(self, pump: Pump, handler: Handler, gone: object) -> None:
        self.handler = handler

    def send(self, **message: object) -> None:
        self.said.append(message)
        self.sent.set()
        if message["cmd"] == "own":
            self.handler({"k": "ready"})

    def records(self, *records: Mapping[str, object], end: str = "\n") -> None:
        self.handler({"k": "records", "data": "\n".join(map(json.dumps, records)) + end})


class World:
    def __init__(self, directory: Path) -> None:
        self.part = Part()
        self.run = directory
        self.directory = directory = directory / "work" / "hosts" / "web-1"
        spec = SimpleNamespace(label="web-1")
        host = SimpleNamespace(
            spec=spec, offset_ns=AHEAD_NS, run=lambda _name, _part: self.part, recorded_now_ns=lambda: 5_500_000_000
        )
        self.lost: list[str] = []
        people = [process(7, host="web-1"), process(8, host="web-2")]
        there = PurePosixPath("/opt/agent")
        self.mirror = Mirror(
            cast("RemoteHost", host),
            "web-1",
            there,
            directory,
            "python-1.ndjson",
            "o",
            lambda: people,
            self.lost.append,
        )

    @property
    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "records" / "python-1.ndjson").read_text().splitlines()]

    @property
    def results(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.directory / "results").iterdir()}

    @property
    def fetched(self) -> list[str]:
        return [str(m["name"]) for m in self.part.said if m["cmd"] == "fetch"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    with Pump(lambda: None) as pump:
        made.mirror.begin(pump)
    return made


def tool(file: str) -> dict[str, object]:
    return {"k": "tool", "rt": "python", "pid": 7, "t": 1, "span": None, "tool": "lines", "file": file, "v": {}}


def test_only_results_that_were_asked_for_are_fetched_and_each_once(world: World) -> None:
    world.mirror.expect(NAME)
    said = json.dumps(tool("other.json"), separators=(",", ":"))
    asked = json.dumps(tool(NAME), separators=(",", ":"))
    world.part.handler({"k": "records", "data": f"{said}\n{asked}\n{asked}\n"})
    assert world.fetched == [NAME]
    assert [record["file"] for record in world.stored] == ["other.json", NAME], "one of the two waits for its result"
    world.part.handler({"k": "file", "name": "other.json", "data": "x", "last": True})
    world.part.handler({"k": "file", "name": "../../x", "data": "x", "last": True})
    assert world.results == {}
    world.part.handler({"k": "file", "name": NAME, "data": "\xff1", "last": False})
    world.part.handler({"k": "file", "name": NAME, "data": "2", "last": True})
    world.part.handler({"k": "file", "name": NAME, "data": "3", "last": True})
    assert world.results == {NAME: b"\xff12"}
    assert len(world.stored) == 3


def test_a_result_that_is_not_there_or_too_long_leaves_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESULT_CAP_BYTES", 3)
    for number, message in enumerate(({"k": "no file", "why": "x"}, {"k": "file", "data": "1234", "last": False})):
        name = f"{number}.json"
        world.mirror.expect(name)
        line = json.dumps(tool(name), separators=(",", ":"))
        world.part.handler({"k": "records", "data": f"{line}\n"})
        assert len(world.stored) == number
        world.part.handler({**message, "name": name})
        assert len(world.stored) == number + 1
    assert world.results == {}


def test_a_record_whose_result_is_on_its_way_when_the_host_is_lost_stays(world: World) -> None:
    world.mirror.expect(NAME)
    world.part.handler({"k": "records", "data": json.dumps(tool(NAME), separators=(",", ":")) + "\n"})
    world.part.handler({"k": "file", "name": NAME, "data": "half", "last": False})
    assert world.stored == []
    world.mirror._on_gone()
    assert [record["file"] for record in world.stored] == [NAME]
    assert world.results == {}


def test_a_line_without_an_end_fills_no_memory_and_no_more_than_the_cap_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        world.part.handler({"k": "records", "data": "x" * 5000})
    path = world.directory / "records" / "python-1.ndjson"
    assert path.stat().st_size >= 40_000
    monkeypatch.setattr(module, "FILE_CAP", 50_100)
    world.part.handler({"k": "records", "data": "y" * 100 + "\n" + "z" * 6000 + "\n"})
    world.part.records({"k": "boot"})
    assert path.stat().st_size <= 50_100


def test_up_to_when_all_has_come_is_kept_for_whoever_finds_the_run(world: World) -> None:
    def kept() -> Arrived:
        [(directory, arrived)] = arrived_in(world.run)
        assert directory == world.directory
        return arrived

    none = Arrived("web-1", "web-1", "/opt/agent", stays=True, contained=False)
    assert kept() == none
    world.part.records({"k": "boot"})
    world.part.handler({"k": "all", "t": 3_000_000_000 + AHEAD_NS})
    assert kept() == replace(none, until_ns=3_000_000_000, size_bytes=len('{"k": "boot"}\n'))
    for nonsense in (-1, 1 << 63, "x"):
        with pytest.raises(ValueError, match=r"time of records|invalid literal"):
            world.part.handler({"k": "all", "t": nonsense})
    world.mirror._on_gone()
    assert world.lost == [
        "the part that keeps the agent's directory ended: no reason given; what was recorded up to 2.5 s before that is here"
    ]


def test_what_keeping_took_is_a_share_of_the_run_or_unknown(world: World) -> None:
    host = cast("Any", world.mirror.host)
    host.has_python, host.keeper_cpu_ns = True, 2_000
    for said, share in ((1_000, 30.0), (0, 20.0), (None, None), (-1, None), (2**62, None), (1.5, None), (True, None)):
        world.part.handler({"k": "drained", "id": 1, "cpu": said})
        assert keeping([host], [world.mirror], 10_000) == {"keeper_cpu_percent.web-1": share}
    assert keeping([host], [], 10_000) == {"keeper_cpu_percent.web-1": 20.0}
    host.keeper_cpu_ns = None
    assert keeping([host], [], 10_000) == {"keeper_cpu_percent.web-1": None}
    host.has_python = False
    assert keeping([host], [], 10_000) == {}


def test_an_order_names_processes_of_that_host_by_its_clock(world: World) -> None:
    told: list[list[int]] = []
    asking = threading.Thread(target=lambda: told.append(list(world.mirror.post(5, "floor", "look", [7, 8, 9]))))
    world.part.sent.clear()
    asking.start()
    assert world.part.sent.wait(10)
    order = world.part.said[-1]
    assert (order["text"], order["pids"]) == (f"{5 + AHEAD_NS} floor look\n", [[7, process(7).key.start_ticks]])
    world.part.handler({"k": "told", "id": 999, "pids": [7], "why": ""})
    assert asking.is_alive()
    world.part.handler({"k": "told", "id": order["id"], "pids": [7, 8, 4711], "why": ""})
    asking.join(10)
    assert told == [[7]]


def test_where_nobody_answers_an_order_that_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOLD_S", 0.01)
    with pytest.raises(TargetError, match="orders cannot be given on web-1: nobody answered"):
        world.mirror.post(5, "floor", "look", [7])
    world.part.ended = True
    with pytest.raises(TargetError, match="keeps the agent's directory of web-1 has ended"):
        world.mirror.post(5, "floor", "look", [7])
