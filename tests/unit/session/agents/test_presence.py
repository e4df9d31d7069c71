"""What is said before the first request of agents that should be there."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from timelines import manifest, process

from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, LanguageAdapter, RecordSource
from harness.session.agents.deployed import SILENT, Deployed
from harness.session.agents.places import Places
from harness.session.agents.presence import Agents, tell_of_version
from harness.session.parts import Parts
from harness.session.progress import Progress
from harness.session.target import Target
from harness.store.writer import Recorder


class Adapter:
    """Every place has one file of records."""

    announces = True

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        return [RecordSource("records", parse_record)]


class World:
    """One place on another host, and one process there, which was born now."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.there = directory / "there"
        self.there.mkdir()
        self.said = io.StringIO()
        self.recorder = Recorder(directory)
        self.recorder.manifest(manifest())
        self.adapter = Adapter()
        context = AdapterContext(directory, "own", {}, ())
        self.places = Places(self.recorder, cast("LanguageAdapter", self.adapter), context)
        self.info = replace(process(7, host="web-1"), born_ns=time.monotonic_ns())
        self.alive = [self.info]
        self.places.add(
            "web-1", replace(context, work_dir=self.there), lambda: self.alive, lambda info: info.key.host == "web-1",
            lambda pid: pid, SILENT,
        )  # fmt: skip
        progress = Progress(self.said, plain=True)
        parts = SimpleNamespace(adapter=self.adapter, places=self.places, progress=progress)
        self.parts = cast("Parts", parts)

    def greet(self) -> str:
        self.said.truncate(0)
        self.places.drain()
        Agents(self.parts).greet(cast("Target", SimpleNamespace(sampler=SimpleNamespace(alive=self.alive))))
        return self.said.getvalue()

    def announce(self, t_ns: int) -> None:
        said = {"k": "boot", "rt": "python", "pid": 7, "ppid": 1, "t": t_ns, "version": "3", "argv": ""}
        with (self.there / "records").open("a") as file:
            file.write(json.dumps(said) + "\n")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.places.close()
    made.recorder.close()


def test_nobody_has_announced_itself_and_then_somebody(world: World) -> None:
    assert f"warning: web-1: {SILENT}" in world.greet()
    world.announce(world.info.born_ns - 10**9)
    assert "warning" in world.greet(), "an earlier process of that id"
    world.announce(world.info.born_ns + 1)
    assert world.greet() == ""


def test_nothing_is_said_where_nothing_can_be_known(world: World) -> None:
    world.alive.clear()
    assert world.greet() == ""
    world.alive.append(world.info)
    world.adapter.announces = False
    assert world.greet() == ""


def test_an_agent_of_another_version_is_told_and_among_what_is_missing() -> None:
    said = io.StringIO()
    missing: list[str] = []
    parts = SimpleNamespace(progress=Progress(said, plain=True), missing=lambda what, why, costs: missing.append(what))
    found = Deployed("0" * 32, "python-0123456789abcdef.ndjson", "python/orders/order", "/opt/agent", "python", "0.0.1")
    tell_of_version(cast("Parts", parts), "web-1", found)
    assert missing == ["agent.version.web-1"]
    assert "warning: web-1: the agent was written by version 0.0.1 of the harness" in said.getvalue()
