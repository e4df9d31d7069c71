"""What befalls containers, as events: by a made-up engine and sampler, with real processes as their first ones."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness.clock import SystemClock
from harness.errors import TargetError
from harness.model.event import Event
from harness.model.process import ProcessInfo, ProcessKey
from harness.scenario.target import ContainerSpec, HostSpec, TargetSpec
from harness.session.hosts import grounds
from harness.session.hosts.containers import Contained, Containers, agents_on, pools_here, pools_of, pools_on
from harness.session.hosts.grounds import Here
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import TickView
from harness.targets.containers import begin_of
from harness.targets.engines.spec import EngineError, NoSuchContainerError

MIB = 1 << 20
IDS = ("a" * 64, "b" * 64)


class Sampler:
    """As far as containers speak to it."""

    def __init__(self) -> None:
        self.observers: list[Any] = []
        self.exit_observers: list[Any] = []
        self.followed: list[tuple[int, str, str]] = []
        self.alive: list[ProcessInfo] = []

    def follow_container(self, pid: int, identifier: str, pool: str) -> None:
        self.followed.append((pid, identifier, pool))

    def sweep(self, **system: int) -> None:
        view = TickView(SystemClock().monotonic_ns(), 0, 0, 0, {}, {}, system, ())
        for observer in self.observers:
            observer(view)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.noted: dict[str, str] = {}

    def event(self, event: Event) -> None:
        self.events.append(event)

    def facts(self, facts: Mapping[str, str]) -> None:
        self.noted.update(facts)


class Engine:
    """One container; its first process is a real one."""

    label = "made-up"

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.id = IDS[0]
        self.started = 0
        self.code, self.oom_killed, self.memory = 0, False, 64 * MIB
        self.trouble: EngineError | None = None
        self.asked = 0

    def start(self) -> int:
        self.process = subprocess.Popen(["sleep", "600"])
        self.started += 1
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def inspect(self, name: str) -> bytes:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        running = self.process is not None
        state = {
            "Running": running, "Pid": 0 if self.process is None else self.process.pid, "ExitCode": self.code,
            "OOMKilled": self.oom_killed, "StartedAt": str(self.started),
        }  # fmt: skip
        return json.dumps({"Id": self.id, "Name": name, "State": state, "HostConfig": {"Memory": self.memory}}).encode()


class World:
    def __init__(self, pump: Pump, engine: Engine) -> None:
        self.pump, self.engine = pump, engine
        self.sampler, self.recorder = Sampler(), Recorder()
        self.containers = Containers(
            pump, self.recorder, self.sampler, Progress(io.StringIO()), SystemClock(), 600.0  # type: ignore[arg-type]
        )  # fmt: skip
        self.here = Here({}, SystemClock(), lambda: self.sampler)  # type: ignore[arg-type, return-value]

    def begin(self, **told: Any) -> None:
        spec = ContainerSpec(name="web", **told)
        (pool,) = pools_of([spec])
        self.containers.begin([Contained(spec, pool, self.here, spec.role, spec.measured)])

    def until(self, kind: str, number: int = 1) -> Event:
        """The last event of this kind once there are so many."""

        def there() -> bool:
            self.containers.poll()
            return len(self.of(kind)) >= number

        assert self.pump.until(there, 60), [event.text for event in self.recorder.events]
        return self.of(kind)[-1]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.recorder.events if event.kind == kind]

    def tell_of_exit(self, pid: int, begin: int, code: int | None, signal: int | None) -> int:
        now_ns = SystemClock().monotonic_ns()
        info = ProcessInfo(ProcessKey("", pid, begin), 1, "sleep", "sleep", 0, "app", 0, 0, now_ns, now_ns)
        for observer in self.sampler.exit_observers:
            observer(info, code, signal)
        return now_ns


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    engine = Engine()
    monkeypatch.setattr(grounds, "engines", lambda _environ: [engine])
    monkeypatch.setattr(grounds, "is_here", lambda _life: True)
    with Pump(lambda: None) as pump:
        yield World(pump, engine)
    if engine.process is not None:
        engine.kill()


def test_pools() -> None:
    def specs(*pairs: tuple[str, str | None]) -> list[ContainerSpec]:
        return [ContainerSpec(name=name, role=role) for name, role in pairs]

    assert pools_of(specs(("shop-web-1", None))) == ["app"]
    assert pools_of(specs(("shop-web-1", "web"))) == ["web"]
    assert pools_of(specs(("a", "web"), ("b", "web"), ("c", "db"), ("d", None))) == ["web-a", "web-b", "db", "d"]


def test_a_role_that_hosts_have_too_is_no_name_of_a_pool() -> None:
    target = TargetSpec.model_validate(
        {
            "containers": [
                {"name": "shop-web-3", "role": "web"},
                {"name": "shop-db-1", "role": "db", "measured": False},
            ],
            "hosts": [{"host": "ssh://web-1", "role": "web"}, {"host": "ssh://web-2", "role": "web"}],
            "attach": {"port": 8000},
        }
    )
    assert pools_here(target) == ["web-shop-web-3", "db"]


def test_pools_of_another_host_carry_its_name() -> None:
    one = HostSpec.model_validate({"host": "ssh://web-1", "container": "shop"})
    two = HostSpec.model_validate({"host": "ssh://web-2", "containers": ["a", {"name": "b", "role": "db"}]})
    assert (pools_on(one), pools_on(two)) == (["web-1"], ["web-2-a", "web-2-db"])


def test_agents_on_another_host_are_those_of_its_processes_or_of_a_container_each() -> None:
    one = HostSpec.model_validate({"host": "ssh://web-1", "container": "shop", "agent": "/opt/a"})
    two = HostSpec.model_validate(
        {"host": "ssh://web-2", "containers": ["a", {"name": "b", "role": "db", "agent": "/b"}]}
    )
    three = HostSpec.model_validate({"host": "ssh://web-3", "agent": "/opt/c"})
    found = [[(str(path), pool) for path, pool in agents_on(host)] for host in (one, two, three)]
    assert found == [[("/opt/a", "web-1")], [("/b", "web-2-db")], [("/opt/c", None)]]


def test_the_start(world: World) -> None:
    pid = world.engine.start()
    world.begin()
    assert world.sampler.followed == [(pid, IDS[0], "app")]
    [event] = world.of("container.start")
    assert event.attributes["generation"] == 1
    assert event.attributes["memory_bytes"] == 64 * MIB
    assert event.process == ProcessKey("", pid, begin_of(pid) or 0)
    asked = world.engine.asked
    world.containers.poll()
    world.containers.poll()
    assert world.engine.asked == asked, "while it lives the engine is left alone"


def test_one_that_does_not_run(world: World) -> None:
    world.engine.code, world.engine.oom_killed = 137, True
    with pytest.raises(TargetError, match=r"does not run: exit code 137 \(signal 9\) for lack of memory"):
        world.begin()


def test_one_that_runs_on_another_machine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.engine.start()
    monkeypatch.setattr(grounds, "is_here", lambda _life: False)
    with pytest.raises(TargetError, match="it does not run on this machine"):
        world.begin()


def test_a_restart_is_another_generation(world: World) -> None:
    first = world.engine.start()
    begin = begin_of(first) or 0
    world.begin()
    world.engine.kill()
    ended_ns = world.tell_of_exit(first, begin, None, 15)
    second = world.engine.start()
    started, ended = world.until("container.start", 2), world.until("container.exit")
    assert (started.attributes["generation"], ended.attributes["generation"]) == (2, 1)
    assert (ended.t_ns, ended.attributes["signal"], ended.attributes["exact"]) == (ended_ns, 15, True)
    assert ended.attributes["oom"] is False
    assert [row[0] for row in world.sampler.followed] == [first, second]
    assert world.of("container.oom") == []
    world.containers.check()


def test_one_that_is_made_anew_gets_another_id(world: World) -> None:
    first = world.engine.start()
    world.begin()
    world.engine.kill()
    world.tell_of_exit(first, world.containers._watched[0].life.begin, 0, None)  # type: ignore[union-attr]
    world.engine.trouble = NoSuchContainerError("gone")
    asked = world.engine.asked

    def asked_again() -> bool:
        world.containers.poll()
        return world.engine.asked > asked

    assert world.pump.until(asked_again, 60)
    world.engine.trouble, world.engine.id = None, IDS[1]
    second = world.engine.start()
    assert world.until("container.start", 2).attributes["id"] == IDS[1]
    assert world.sampler.followed[-1] == (second, IDS[1], "app")


def test_the_engine_says_why_it_ended(world: World) -> None:
    pid = world.engine.start()
    begin = begin_of(pid) or 0
    world.begin()
    world.engine.kill()
    world.engine.code, world.engine.oom_killed = 137, True
    world.tell_of_exit(pid, begin, None, 9)
    ended, killed = world.until("container.exit"), world.until("container.oom")
    assert (ended.attributes["code"], ended.attributes["oom"]) == (137, True)
    assert (killed.attributes["told_by"], killed.attributes["limit_bytes"]) == ("engine", 64 * MIB)
    assert "64.0 MiB" in killed.text


def test_a_kill_that_the_counter_showed_is_told_of_once(world: World) -> None:
    pid = world.engine.start()
    begin = begin_of(pid) or 0
    world.begin()
    world.sampler.sweep(**{"cgroup.app.memory.events.oom_kill": 0})
    world.engine.kill()
    world.tell_of_exit(pid, begin, None, 9)
    world.sampler.sweep(**{"cgroup.app.memory.events.oom_kill": 1})
    world.engine.code, world.engine.oom_killed = 137, True
    assert world.until("container.exit").attributes["oom"] is True
    [killed] = world.of("container.oom")
    assert killed.attributes["told_by"] == "group"


def test_after_a_restart_only_the_machines_counter_knows(world: World) -> None:
    pid = world.engine.start()
    begin = begin_of(pid) or 0
    world.begin()
    world.sampler.sweep(**{"system.vmstat.oom_kill": 5})
    world.sampler.sweep(**{"system.vmstat.oom_kill": 5})
    world.engine.kill()
    world.sampler.sweep(**{"system.vmstat.oom_kill": 6})
    world.tell_of_exit(pid, begin, None, 9)
    world.engine.start()
    assert world.until("container.oom").attributes["told_by"] == "machine"
    assert world.of("container.exit")[0].attributes["oom"] is True


@pytest.mark.parametrize(("memory", "signal", "kills"), [(0, 9, 6), (64 * MIB, 15, 6), (64 * MIB, 9, 5)])
def test_not_every_end_is_for_lack_of_memory(world: World, memory: int, signal: int, kills: int) -> None:
    """Without a limit, by another signal, or when the kernel killed nobody."""
    world.engine.memory = memory
    pid = world.engine.start()
    begin = begin_of(pid) or 0
    world.begin()
    for _ in range(2):
        world.sampler.sweep(**{"system.vmstat.oom_kill": 5})
    world.engine.kill()
    world.sampler.sweep(**{"system.vmstat.oom_kill": kills})
    world.tell_of_exit(pid, begin, None, signal)
    world.engine.start()
    assert world.until("container.exit").attributes["oom"] is False
    assert world.of("container.oom") == []


def test_kills_and_limits_by_the_groups_counters(world: World) -> None:
    world.engine.start()
    world.begin()
    before = {"cgroup.app.memory.events.oom_kill": 3, "cgroup.app.memory.max": 64 * MIB}
    world.sampler.sweep(**before)
    world.sampler.sweep(**before)
    assert world.of("container.oom") == world.of("container.limit") == []
    first_ns = world.containers._watched[0].kills_ns
    world.sampler.sweep(**{**before, "cgroup.app.memory.events.oom_kill": 5})
    [killed] = world.of("container.oom")
    assert (killed.attributes["kills"], killed.attributes["told_by"]) == (2, "group")
    assert killed.attributes["since_ns"] == first_ns
    world.sampler.sweep(**{**before, "cgroup.app.memory.events.oom_kill": 5, "cgroup.app.memory.max": 32 * MIB})
    [limit] = world.of("container.limit")
    assert (limit.attributes["memory_bytes"], limit.attributes["before_bytes"]) == (32 * MIB, 64 * MIB)
    world.sampler.sweep(**{"cgroup.app.memory.events.oom_kill": 5})
    assert "no limit" in world.of("container.limit")[-1].text


def test_one_that_stays_away_ends_the_run(world: World) -> None:
    pid = world.engine.start()
    begin = begin_of(pid) or 0
    world.begin()
    world.engine.code = 3
    world.engine.kill()
    world.tell_of_exit(pid, begin, 3, None)
    world.until("container.exit")
    world.containers.check()
    world.containers.patience_s = 0.0
    with pytest.raises(TargetError, match="has been away for 0 s: exit code 3"):
        world.containers.check()


def test_one_that_is_only_watched_does_not(world: World) -> None:
    world.engine.start()
    world.begin(role="db", measured=False)
    assert world.containers.unmeasured == ["db"]
    world.engine.kill()
    world.containers.poll()
    world.containers.patience_s = 0.0
    world.containers.check()


def test_which_process_is_which_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = world.engine.start()
    world.begin()
    inner = {pid: 1, pid + 1: 7}
    monkeypatch.setattr(grounds, "inside_pid", inner.get)
    keys = [ProcessKey("", one, 5) for one in inner]
    world.sampler.alive = [ProcessInfo(key, 1, "gunicorn", "", 33, "app", 0, 0, 0, None) for key in keys]
    world.sampler.alive.append(ProcessInfo(ProcessKey("", 9, 5), 1, "x", "", 33, "another pool", 0, 0, 0, None))
    world.containers.poll()
    world.containers.poll()
    told = [(event.process, event.attributes["inner_pid"]) for event in world.of("container.process")]
    assert told == list(zip(keys, (1, 7), strict=True))
