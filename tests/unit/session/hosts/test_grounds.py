"""The machines that containers run on: what is known of a first process on another host, and of ids inside."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.model.process import ProcessInfo, ProcessKey
from harness.session.hosts import grounds
from harness.session.hosts.grounds import There
from harness.session.pump import Pump
from harness.targets.connectors.local import LocalConnector
from harness.targets.containers import ContainerState, Life, begin_of, inside_pid

STATE = ContainerState("a" * 64, "shop", "", True, False, 7, "", None, None, None, None, None, ())


class World:
    """A host as far as its ground speaks to it; ``alive``: what the sampler there follows."""

    def __init__(self) -> None:
        self.alive: set[ProcessKey] = set()
        self.followed: list[tuple[Any, ...]] = []
        self.said: list[str] = []
        self.on = SimpleNamespace(
            spec=SimpleNamespace(label="web-1"),
            connector=LocalConnector(),
            up=True,
            has_python=True,
            recorded_now_ns=lambda: 5,
        )
        client = SimpleNamespace(
            follows=lambda key: key in self.alive,
            follow_container=lambda *told: self.followed.append(("group", *told)),
            follow=lambda *told: self.followed.append(("tree", *told)),
        )
        self.ground = There(cast(Any, self.on), cast(Any, client), lambda signal, why, costs: self.said.append(signal))


def key(pid: int, begin: int) -> ProcessKey:
    return ProcessKey("web-1", pid, begin)


def info(of: ProcessKey) -> ProcessInfo:
    return ProcessInfo(of, 1, "x", "x", 0, "web-1", 0, 0, 0, None)


def test_a_life_lasts_until_the_sampler_there_says_that_it_ended() -> None:
    world, life = World(), Life(STATE, 7, 100)
    assert world.ground.lasts(life), "the sampler may not have told of it yet"
    world.alive.add(key(7, 100))
    assert world.ground.lasts(life)
    world.alive.clear()
    assert not world.ground.lasts(life)
    assert not world.ground.lasts(life)


def test_one_that_is_never_told_of_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the line is down nothing can be told."""
    world, life, now = World(), Life(STATE, 7, 100), [1000.0]
    monkeypatch.setattr(grounds, "time", SimpleNamespace(monotonic=lambda: now[0]))
    world.on.up = False
    assert world.ground.lasts(life)
    now[0] += 100
    assert world.ground.lasts(life)
    world.on.up = True
    assert world.ground.lasts(life)
    now[0] += 11
    assert not world.ground.lasts(life)


def test_without_python_the_tree_is_followed_and_what_that_costs_is_said() -> None:
    world, life = World(), Life(STATE, 7, 100)
    world.ground.follow(life, "web-1")
    world.on.has_python = False
    world.ground.follow(life, "web-1")
    assert world.followed == [("group", 7, STATE.id, "web-1"), ("tree", 7, "web-1")]
    assert world.said == ["container.group"]


def test_ids_inside_are_asked_for_once_and_only_of_the_process_that_is_meant() -> None:
    world = World()
    with subprocess.Popen(["sleep", "600"]) as process, Pump(lambda: None) as pump:
        begin = begin_of(process.pid)
        assert begin is not None
        right, wrong, gone = key(process.pid, begin), key(process.pid, begin - 1), key(4194303, 5)
        infos = [info(each) for each in (right, wrong, gone)]
        assert world.ground.inner(infos) == {}
        told: dict[ProcessKey, int | None] = {}

        def there() -> bool:
            told.update(world.ground.inner([each for each in infos if each.key not in told]))
            return len(told) == len(infos)

        assert pump.until(there, 30)
        assert told == {right: inside_pid(process.pid), wrong: None, gone: None}
        assert world.ground.read(process.pid) is None, "nobody follows it"
        world.alive.add(right)
        assert world.ground.read(process.pid) == inside_pid(process.pid)
        assert world.ground.read(1) is None
        process.kill()


def test_the_time_there_is_that_of_what_is_recorded() -> None:
    assert World().ground.now_ns() == 5
