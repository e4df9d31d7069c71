"""Triggers and results where several places may answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from timelines import manifest, process

from harness.errors import TargetError, UsageError
from harness.model.process import ProcessInfo
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import RequestRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import (
    AdapterContext,
    Away,
    LanguageAdapter,
    ProfiledResponse,
    RecordSource,
    Shows,
    ToolUse,
    Trigger,
)
from harness.session.agents.places import Places, grouped
from harness.session.agents.spread import Spread, merged
from harness.store.reader import read_run
from harness.store.writer import Recorder

AHEAD_NS = 5_000_000_000
SPAN = "ab" * 8


class Adapter:
    """Says where it was asked: by the token."""

    name = "python"

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.armed: list[tuple[str, tuple[int, ...]]] = []

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        return [RecordSource("records/*", parse_record)]

    def trigger(self, context: AdapterContext, tool: str, use: ToolUse | None = None) -> Trigger:
        if context.token in self.refused:
            raise UsageError("not there")
        at = "" if use is None else f" at={[f'{file}:{line}' for file, line in use.places]}"
        return Trigger(tool, {"x-trigger": f"{context.token} {tool}{at}"}, {"secret": "same"})

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        return [Artifact(trigger.tool, "python", context.token, ArtifactStatus.COMPLETE, None, "x", 1, 1, 1, "", {})]

    def arm(self, context: AdapterContext, number: int, tool: str | None, pids: Sequence[int]) -> Sequence[int]:
        self.armed.append((context.token, tuple(pids)))
        return [pid for pid in pids if pid > 10]


class World:
    def __init__(self, directory: Path) -> None:
        self.adapter = Adapter()
        self.recorder = Recorder(directory)
        self.recorder.manifest(manifest())
        self.people: list[ProcessInfo] = []
        for name in ("here", "web-1"):
            (directory / name / "records").mkdir(parents=True)
        context = AdapterContext(directory / "here", "own", {}, ())
        self.places = Places(self.recorder, cast("LanguageAdapter", self.adapter), context)
        away = Away("web-1", AHEAD_NS, lambda *_: (), lambda _: None)
        there = replace(context, work_dir=directory / "web-1", token="there", away=away)  # no secret
        self.there = self.places.add(
            "web-1", there, lambda: self.people, lambda info: info.key.host == "web-1", lambda pid: pid, ""
        )
        self.spread = Spread(cast("LanguageAdapter", self.adapter), self.places)

    def write(self, line: str) -> None:
        with (self.there.context.work_dir / "records" / "python-1").open("a") as file:
            file.write(line + "\n")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.recorder.close()


def response(span_id: str = SPAN) -> ProfiledResponse:
    return ProfiledResponse(span_id, "x", 200, 1, 2, {})


def test_one_request_carries_the_trigger_of_each_place(world: World) -> None:
    trigger = world.spread.trigger("lines")
    assert trigger.headers == {"x-trigger": "own lines, there lines"}
    assert trigger.cookies == {"secret": "same"}


def test_the_trigger_of_many_places_still_fits_into_a_header(world: World) -> None:
    """Lines to watch are named to each place; the first are the likeliest."""
    places = tuple((f"/srv/shop/{number}/{'x' * 50}.py", number) for number in range(60))
    few = world.spread.trigger("lines", ToolUse("lines", Shows.KEPT, places=places[:3])).headers["x-trigger"]
    assert few.count("/srv/shop/2/") == 2, "nothing is left out where all fits"
    many = world.spread.trigger("lines", ToolUse("lines", Shows.KEPT, places=places)).headers["x-trigger"]
    assert len(many) < 8000
    assert many.count("/srv/shop/0/") == 2


def test_equal_headers_are_sent_once() -> None:
    one = Trigger("x", {"a": "1", "b": "2"})
    assert merged([one, Trigger("x", {"a": "1", "b": "3"})]).headers == {"a": "1", "b": "2, 3"}
    assert merged([one]) == one


def test_a_tool_that_nobody_who_is_there_can_have_is_said_at_once(world: World) -> None:
    world.adapter.refused = {"there"}
    with pytest.raises(TargetError, match="not there"):
        world.spread.trigger("memray")
    world.adapter.refused = {"there", "own"}
    with pytest.raises(UsageError, match="not there"):
        world.spread.trigger("memray")


def test_records_of_another_host_are_on_our_clock_and_tell_who_had_the_request(world: World, tmp_path: Path) -> None:
    now_ns = time.monotonic_ns()
    world.people = [process(7, born=now_ns - 10**9, host="web-1"), process(7, born=now_ns - 10**9)]
    there_ns = now_ns + AHEAD_NS
    world.write(f'{{"k":"boot","rt":"python","pid":7,"ppid":1,"t":{there_ns},"version":"3","argv":""}}')
    times = f'"t0":{there_ns},"t1":{there_ns + 5}'
    world.write(f'{{"k":"req","rt":"python","pid":7,"n":1,{times},"span":"{SPAN}","name":"GET /","st":200,"v":{{}}}}')
    world.write(
        f'{{"k":"req","rt":"python","pid":8,"n":1,{times},"span":"{"cd" * 8}","name":"GET /","st":200,"v":{{}}}}'
    )
    world.there.intake.expect(3)
    world.write(f'{{"k":"floor","rt":"python","pid":7,"t":{there_ns},"n":{3 + AHEAD_NS},"v":{{"blocks":1}}}}')
    world.places.poll()
    assert world.there.intake.announced_ns(7) == now_ns
    assert world.places.own.intake.announced_ns(7) is None
    assert world.there.intake.answers[7].t_ns == now_ns
    [artifact] = world.spread.collect(Trigger("lines"), response(), tmp_path)
    assert (artifact.path, artifact.attributes["host"]) == ("there", "web-1")
    world.recorder.commit()
    [record] = read_run(tmp_path).records
    assert isinstance(record, RequestRecord)
    assert (record.host, record.pid, record.start_ns, record.end_ns) == ("web-1", 7, now_ns, now_ns + 5)


def test_jobs_are_armed_and_collected_where_the_workers_are(world: World, tmp_path: Path) -> None:
    world.people = [process(17, host="web-1"), process(5), process(9, host="web-2")]
    assert world.spread.arm(1, "lines", world.people)
    assert sorted(world.adapter.armed) == [("own", (5,)), ("there", (17,))]
    assert not world.spread.arm(1, "lines", [process(5)])
    assert set(grouped(world.places, world.people)) == {"", "web-1"}
    found = world.spread.collect(Trigger("lines"), response(""), tmp_path)
    assert [artifact.path for artifact in found] == ["own"], "no agent has announced itself anywhere"


def test_what_lies_in_one_known_place_is_not_waited_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployed profiler's files: the second master has no agent, so nobody will ever write who answered."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    [artifact] = world.spread.collect(Trigger("xdebug", deployed=True), response(), tmp_path)
    assert artifact.path == "own"
    assert waits == []
