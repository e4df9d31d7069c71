"""Which workers are ended, started again, fed and told to end. The programs are real, the adapter is the test's."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from processes import wait_for
from timelines import manifest, process

from harness.clock import SystemClock
from harness.errors import TargetError, UsageError
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RawRun
from harness.plugins.spec import AdapterContext, LanguageAdapter, LaunchPlan, ProfiledResponse, Trigger
from harness.session.agents.places import Places
from harness.session.agents.spread import Spread
from harness.session.profiling.commands import COMMAND, Feeding, ProfiledCommands
from harness.session.profiling.requests import ProfiledPass
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import SamplerClient
from harness.session.target import Patience, Target
from harness.store import layout
from harness.store.reader import read_run
from harness.store.writer import Recorder

# Writes its pid and, on SIGTERM, how many lines it was fed: what a tool does when its program ends in good order.
WORKER = """
import os, signal, sys, time
tool, directory = sys.argv[1], sys.argv[2]
if tool == "fails":
    sys.exit("not with me")
def end(*_):
    fed = open(f"{directory}/fed").read() if os.path.exists(f"{directory}/fed") else ""
    open(f"{directory}/wrote-{tool}-{os.getpid()}", "w").write(fed)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_DFL)
open(f"{directory}/ready-{tool}", "w").close()
while True:
    time.sleep(0.01)
"""
FEEDER = "import sys, time\nopen(sys.argv[1] + '/fed', 'a').write('x')\n"


@dataclass
class Tools:
    """An adapter: tools are words for the worker; ``armed``: who takes orders."""

    directory: Path
    armed: tuple[int, ...] = ()
    warmups: int = 0
    orders: list[str | None] = field(default_factory=list)
    responses: list[ProfiledResponse] = field(default_factory=list)
    name: str = "python"

    def arm(self, context: AdapterContext, number: int, tool: str | None, pids: Sequence[int]) -> Sequence[int]:
        if tool == "requests only":
            raise UsageError("measures single requests")
        self.orders.append(tool)
        return self.armed

    def trigger(
        self, context: AdapterContext, tool: str, script: Sequence[str] | None = None, *, ends: bool = True
    ) -> Trigger:
        if tool == "absent":
            raise TargetError("the tool is not there")
        if script is None:
            return Trigger(tool, warmups=self.warmups)
        assert ends == (COMMAND in script)
        words = (*script[:-2], tool, script[-1]) if not ends else tuple(script)
        return Trigger(tool, warmups=self.warmups, argv=words)

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        self.responses.append(response)
        destination.mkdir(exist_ok=True)
        found = []
        for path in self.directory.glob(f"wrote-{trigger.tool}-*"):
            copy = path.replace(destination / path.name)
            pid = int(path.name.rpartition("-")[2])
            found.append(
                Artifact(trigger.tool, self.name, copy.name, ArtifactStatus.COMPLETE, None, response.endpoint, pid, 1,
                         copy.stat().st_size, "")
            )  # fmt: skip
        return found


@dataclass
class World:
    """A run in its profiled pass, with workers started for the rounds."""

    directory: Path
    tools: Tools
    target: Target
    commands: ProfiledCommands
    recorder: Recorder

    def start(self, name: str) -> int:
        argv = (sys.executable, "-c", WORKER, f"measured-{name}", str(self.tools.directory))
        program = self.target.spawn(LaunchPlan(name, argv))
        wait_for((self.tools.directory / f"ready-measured-{name}").exists, "the worker")
        assert program.pid is not None
        return program.pid

    def close(self) -> RawRun:
        self.recorder.close()
        return read_run(self.directory)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    pump = Pump(lambda: None)
    targets: list[Target] = []

    def make(**changes: object) -> World:
        directory = tmp_path / "run"
        (directory / layout.WORK).mkdir(parents=True)
        (directory / layout.ARTIFACTS).mkdir()
        recorder = Recorder(directory)
        recorder.manifest(manifest())
        tools = Tools(tmp_path)
        for name, value in changes.items():
            setattr(tools, name, value)
        adapter = cast("LanguageAdapter", tools)  # all of it that is used
        progress = Progress(io.StringIO())
        sampler = cast("SamplerClient", SimpleNamespace(alive=[]))  # nothing is sampled here
        target = Target(pump, recorder, sampler, progress, dict(os.environ), Patience(rung_s=5))
        targets.append(target)
        context = AdapterContext(directory / layout.WORK, "", {}, ())
        agents = Spread(adapter, Places(recorder, None, context))
        profiled = ProfiledPass(pump, recorder, progress, SystemClock(), agents)
        feeder = LaunchPlan("job", (sys.executable, "-c", FEEDER, str(tmp_path), COMMAND), measured=False)
        commands = ProfiledCommands(
            pump, recorder, progress, SystemClock(), agents, target, profiled, Feeding(feeder, 20.0, 0.1)
        )
        return World(directory, tools, target, commands, recorder)

    with pump:
        yield make
        for target in targets:
            for program in target.programs:
                program.stop()


def reasons(run: RawRun) -> dict[str, str]:
    return {missing.signal: missing.reason for missing in run.missing}


def test_a_worker_is_ended_started_again_fed_and_told_to_end(world: Callable[..., World]) -> None:
    w = world(warmups=1)
    pid = w.start("app")
    asked: list[bool] = []
    w.commands.jobs(["trace", "profile"], lambda: [process(pid)], lambda: asked.append(Path(f"/proc/{pid}").exists()))
    run = w.close()
    assert asked == [True], "asked once, while the worker still lives"
    assert [(a.tool, a.endpoint, a.status) for a in run.artifacts] == [
        ("trace", "app", ArtifactStatus.COMPLETE), ("profile", "app", ArtifactStatus.COMPLETE)
    ]  # fmt: skip
    assert run.missing == []
    fed = [Path(w.directory / str(a.path)).read_text() for a in run.artifacts]
    assert fed == ["xx", "xxxx"], "to warm up and to measure, for each tool"
    assert [r.status for r in w.tools.responses] == [0, 0]
    assert not list(w.tools.directory.glob("wrote-measured*")), (
        "the measured one is ended as every program is, by SIGINT"
    )


def test_results_of_several_workers_are_told_apart(world: Callable[..., World]) -> None:
    w = world()
    pids = [w.start("first"), w.start("second")]
    w.commands.jobs(["trace"], lambda: [process(pid) for pid in pids], lambda: None)
    assert {a.endpoint for a in w.close().artifacts} == {"first", "second"}


def test_what_takes_orders_is_fed_where_it_runs(world: Callable[..., World]) -> None:
    w = world(warmups=1)
    pid = w.start("app")
    w.tools.armed = (pid,)
    w.commands.jobs(["trace"], lambda: [process(pid)], lambda: pytest.fail("nobody is ended"))
    assert w.tools.orders == ["trace", None]
    assert (w.tools.directory / "fed").read_text() == "xx"
    assert Path(f"/proc/{pid}").exists()
    [missing] = w.close().missing
    assert missing.signal == f"profile.trace.{COMMAND}", "this adapter's agents wrote nothing"


def test_nothing_is_ended_that_was_not_launched(world: Callable[..., World]) -> None:
    w = world()
    w.commands.jobs(["trace"], lambda: [process(1)], lambda: pytest.fail("nobody is ended"))
    assert "was only attached to is not ended" in reasons(w.close())["profile.trace"]


def test_one_tools_trouble_is_missing_and_the_next_goes_on(world: Callable[..., World]) -> None:
    w = world()
    pid = w.start("app")
    w.commands.jobs(["requests only", "absent", "fails", "trace"], lambda: [process(pid)], lambda: None)
    run = w.close()
    said = reasons(run)
    assert said["profile.requests only"] == "measures single requests"
    assert said["profile.absent"] == "the tool is not there"
    assert "ended with exit code 1 under the tool" in said["profile.fails"]
    assert "not with me" in said["profile.fails"]
    assert [a.tool for a in run.artifacts] == ["trace"]


def test_a_script_is_run_once_more_under_each_tool(world: Callable[..., World]) -> None:
    w = world()
    w.commands.scripts(["trace", "absent", "profile"], automatic=True)
    run = w.close()
    assert (w.tools.directory / "fed").read_text() == "xx"
    assert [r.endpoint for r in w.tools.responses] == [COMMAND] * 2
    assert reasons(run)["profile.absent"] == "the tool is not there"
