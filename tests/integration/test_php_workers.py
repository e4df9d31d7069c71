"""Long-lived PHP scripts: asked how their memory stands where that disturbs nobody, judged by runs, profiled in every mode."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import free_port, harness, wait_for

from adapters.php import orders
from adapters.php.adapter import ADAPTER
from harness.model.profile import ArtifactStatus, Profile
from harness.model.run import RawRun
from harness.model.span import BootRecord, FloorRecord
from harness.plugins import orders as plugin_orders
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, FloorDepth, LaunchPlan, ProfiledResponse
from harness.sampling.outside.php import reader as outside
from harness.sampling.outside.process import Process
from harness.store.reader import read_run

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "programs"
WORKER = ROOT / "scenarios" / "apps" / "php_worker"
MESSENGER = PROGRAMS / "php_messenger"
DEADLINE_S = 30.0
OWN_BYTES = 30_000  # of the heap that answering itself holds
TOOLS = ("xdebug", "xdebug_trace", "xdebug_gcstats")


@dataclass
class Waiting:
    """The program of known waits, launched with the agent."""

    process: subprocess.Popen[str]
    context: AdapterContext
    directory: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def until_it_waits_in(self, *calls: str) -> None:
        wait_for(lambda: orders.waits_in(self.pid) in calls, f"{calls}, not {orders.waits_in(self.pid)}", DEADLINE_S)

    def ask(self, depth: FloorDepth = FloorDepth.LOOK) -> FloorRecord:
        number = time.monotonic_ns()
        assert ADAPTER.ask_floor(self.context, number, depth, [self.pid]) == [self.pid]
        wait_for(lambda: self.answers(number), "the answer", DEADLINE_S)
        [answer] = self.answers(number)
        return answer

    def answers(self, number: int) -> list[FloorRecord]:
        return [r for r in self.records() if isinstance(r, FloorRecord) and r.number == number]

    def records(self) -> list[object]:
        files = (self.context.work_dir / "records").glob("php-*.ndjson")
        return [parse_record(line) for file in files for line in file.read_bytes().splitlines()]

    def go_on(self) -> dict[str, object]:
        """End the wait, whatever it is; what the program said."""
        (self.directory / "go").touch()
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.directory / "socket"))
            client.sendall(b"a line\n")
        out, _ = self.process.communicate("a line\n", timeout=DEADLINE_S)
        said: dict[str, object] = json.loads(out)
        return said


@contextmanager
def waiting(
    directory: Path, wait: str, *scene: str, php: tuple[str, ...] = (), floors: str = "look"
) -> Iterator[Waiting]:
    work = directory / "work"
    work.mkdir()
    context = AdapterContext(work, "ab" * 16, {"floors": floors}, ())
    script = str(PROGRAMS / "php_waits.php")
    [plan] = ADAPTER.prepare(context, [LaunchPlan("app", ("php", *php, script, wait, str(directory), *scene))]).plans
    env = {k: v for k, v in {**os.environ, **plan.env}.items() if v is not None}
    process = subprocess.Popen(
        plan.argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        yield Waiting(process, context, directory)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


def pending(pid: int) -> int:
    """Signals that were sent to a process and not taken."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("ShdPnd")).split()[1], 16)


def number(record: FloorRecord, name: str) -> int:
    found = record.values[name]
    assert found is not None, name
    return found


# --- who is asked, and who is left alone -----------------------------------------------------------------------------

SLEEPS = ("nanosleep", "clock_nanosleep")
SELECTS = ("select", "pselect6")
POLLS = ("poll", "ppoll")


@pytest.mark.parametrize(
    ("wait", "calls", "why", "result"),
    [
        ("stream_select", SELECTS, "would interrupt that with an error", 1),
        ("stream_socket_accept", POLLS, "would interrupt that with an error", True),
        ("fgets of a socket", POLLS, "would interrupt that with an error", "a line"),
        ("socket_accept", ("accept", "accept4"), "with its next job only", True),
        ("fgets", ("read",), "with its next job only", "a line"),
        ("proc_close", ("wait4",), "with its next job only", 7),
        ("computing", (orders.RUNNING,), "was computing", "computed"),
    ],
)
def test_a_wait_that_a_signal_would_end_or_outlast_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str, calls: tuple[str, ...], why: str, result: object
) -> None:
    monkeypatch.setattr(orders, "PATIENCE_NS", 100_000_000)
    with waiting(tmp_path, wait) as target:
        target.until_it_waits_in(*calls)
        at = time.monotonic_ns()
        assert ADAPTER.ask_floor(target.context, at, FloorDepth.TRIM, [target.pid]) == []
        assert why in ADAPTER.explain_unasked(target.context, target.pid)
        assert target.go_on() == {"result": result, "complaints": [], "last": None}
        assert target.answers(at) == []


@pytest.mark.parametrize(
    ("wait", "calls", "complaint"),
    [
        ("stream_select", SELECTS, "Interrupted system call"),
        ("stream_socket_accept", POLLS, "Interrupted system call"),
        ("socket_accept", ("accept", "accept4"), ""),
        ("fgets", ("read",), ""),
        ("proc_close", ("wait4",), ""),
    ],
)
def test_what_a_signal_does_to_a_wait(tmp_path: Path, wait: str, calls: tuple[str, ...], complaint: str) -> None:
    """What the rule above rests on: PHP's own behaviour, with a handler that has SA_RESTART."""
    with waiting(tmp_path, wait) as target:
        target.until_it_waits_in(*calls)
        os.kill(target.pid, plugin_orders.NUMBER)
        if complaint:
            wait_for(lambda: target.process.poll() is not None, "the failure", DEADLINE_S)
        said = target.go_on()
    complaints = said["complaints"]
    assert isinstance(complaints, list)
    assert bool(complaints) == bool(complaint)
    assert all(complaint in text for text in complaints)


@pytest.mark.parametrize(("wait", "result"), [("usleep", "slept"), ("sleep", "slept less")])
def test_a_script_that_sleeps_answers_and_goes_on(tmp_path: Path, wait: str, result: str) -> None:
    with waiting(tmp_path, wait) as target:
        record = target.ask()
        assert record.missing == {}
        assert target.go_on() == {"result": result, "complaints": [], "last": None}
    assert {name for name in record.values if "." not in name} == {
        "rss_bytes", "realpath_cache_bytes", "included_files", "loaded_bytes", "floor_ns"
    }  # fmt: skip
    assert 10_000 < number(record, "loaded_bytes") < 100_000


def test_inside_and_outside_agree(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "circles", "fragments") as target:
        target.ask()
        record = target.ask()
        process = Process("/proc", target.pid)
        try:
            reader = outside.attach(process)
            assert reader is not None
            seen = reader.counters()
        finally:
            process.close()
    assert abs(seen["runtime.php.heap.size"] - number(record, "heap.size_bytes")) < OWN_BYTES
    for name in ("real", "peak", "real_peak"):
        assert seen[f"runtime.php.heap.{name}"] == number(record, f"heap.{name}_bytes")
    assert abs(seen["runtime.php.gc.roots"] - number(record, "gc.roots")) <= 2
    for name in ("runs", "collected", "threshold", "enabled"):
        assert seen[f"runtime.php.gc.{name}"] == number(record, f"gc.{name}")


def test_a_collection_frees_circles_and_a_trim_gives_empty_pages_back(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "fragments", "circles") as target:
        looked = target.ask()
        record = target.ask(FloorDepth.TRIM)
        after = target.ask()
    assert "collect.objects" not in looked.values
    assert number(record, "collect.objects") == 4000  # with the table of each one's properties
    assert number(record, "collect.runs") == 1
    assert number(record, "collect.size_before_bytes") - number(record, "collect.size_after_bytes") > 2_000_000
    assert number(record, "trim.freed_bytes") > 15_000_000
    assert number(record, "trim.real_before_bytes") - number(record, "trim.real_after_bytes") > 10_000_000
    assert number(record, "trim.rss_before_bytes") - number(record, "trim.rss_after_bytes") > 10_000_000
    assert number(after, "heap.real_bytes") < number(looked, "heap.real_bytes") - 10_000_000


def test_the_caches_of_command_line_php_are_told_of_where_they_are_on(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", php=("-d", "opcache.enable_cli=1", "-d", "apc.enable_cli=1")) as target:
        record = target.ask()
    assert number(record, "opcache.size_bytes") > number(record, "opcache.free_bytes") > 1 << 20
    assert number(record, "opcache.scripts") >= 1
    assert number(record, "apcu.size_bytes") >= number(record, "apcu.free_bytes") > 1 << 20
    assert number(record, "apcu.entries") == 0


def test_handlers_of_the_application_stay_its_own(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "own handler") as target:
        target.ask()
        os.kill(target.pid, signal.SIGUSR1)
        target.ask()
        assert target.go_on()["complaints"] == ["own handler"]


def test_an_application_that_switches_asynchronous_signals_off_does_not_answer(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "synchronous") as target:
        at = time.monotonic_ns()
        assert ADAPTER.ask_floor(target.context, at, FloorDepth.LOOK, [target.pid]) == [target.pid]
        assert target.go_on() == {"result": "slept", "complaints": [], "last": None}
        assert target.answers(at) == []


def test_near_its_memory_limit_a_script_is_not_put_at_risk(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "short of memory") as target:
        record = target.ask(FloorDepth.TRIM)
        assert target.go_on()["result"] == "slept"
    assert record.missing == {"floor.memory_limit": "its memory_limit leaves no room for an answer"}
    assert number(record, "heap.size_bytes") > 100_000
    assert "collect.objects" not in record.values


def test_in_a_jail_without_proc_the_resident_size_is_unknown(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", "jail") as target:
        record = target.ask(FloorDepth.TRIM)
        assert target.go_on() == {"result": "slept", "complaints": [], "last": None}
    assert record.missing == {}
    assert {name for name, value in record.values.items() if value is None} == {
        "rss_bytes", "collect.rss_before_bytes", "collect.rss_after_bytes", "trim.rss_before_bytes", "trim.rss_after_bytes"
    }  # fmt: skip


@pytest.mark.parametrize("disabled", ["pcntl_signal", "pcntl_async_signals", "hrtime"])
def test_where_functions_are_forbidden_nobody_is_told(tmp_path: Path, disabled: str) -> None:
    with waiting(tmp_path, "usleep", php=("-d", f"disable_functions={disabled}")) as target:
        at = time.monotonic_ns()
        assert ADAPTER.ask_floor(target.context, at, FloorDepth.LOOK, [target.pid]) == []
        assert "no pcntl extension, disable_functions" in ADAPTER.explain_unasked(target.context, target.pid)
        assert target.go_on()["complaints"] == []


def test_where_nothing_is_to_be_asked_signals_are_left_alone(tmp_path: Path) -> None:
    with waiting(tmp_path, "usleep", floors="none") as target:
        assert not plugin_orders.takes_orders(target.pid)
        assert target.go_on() == {"result": "slept", "complaints": [], "last": None}


def test_an_answer_that_nobody_waits_for_any_more_is_not_given(tmp_path: Path) -> None:
    """The process was stopped all the while; a collection would fall into whatever it does next."""
    with waiting(tmp_path, "usleep") as target:
        late = time.monotonic_ns()
        path = target.context.work_dir / "php" / "order"
        assert plugin_orders.post(path, late, "floor", f"collect {late - 1}", [target.pid]) == [target.pid]
        target.ask()
        assert target.answers(late) == []
        assert sum(isinstance(r, BootRecord) for r in target.records()) == 1


# --- ending under a profiler -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "calls"),
    [("usleep", SLEEPS), ("stream_select", SELECTS), ("stream_socket_accept", POLLS), ("fgets", ("read",))],
)
def test_a_worker_told_to_end_closes_its_profile(tmp_path: Path, wait: str, calls: tuple[str, ...]) -> None:
    (tmp_path / "chained.php").write_text("<?php function chained() {} chained();")
    context = AdapterContext(
        tmp_path / "work", "ab" * 16, {"ini": {"auto_prepend_file": f"{tmp_path}/chained.php"}}, TOOLS
    )
    context.work_dir.mkdir()
    words = ("php", str(PROGRAMS / "php_waits.php"), wait, str(tmp_path))
    [plan] = ADAPTER.prepare(context, [LaunchPlan("app", words)]).plans
    trigger = ADAPTER.trigger(context, "xdebug", plan.argv, ends=False)
    assert trigger.argv is not None
    env = {k: v for k, v in {**os.environ, **plan.env, **trigger.env}.items() if v is not None}
    begin = time.monotonic_ns()
    with subprocess.Popen(trigger.argv, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        wait_for(lambda: orders.waits_in(process.pid) in calls, f"{calls}", DEADLINE_S)
        process.terminate()
        if wait == "fgets":
            wait_for(lambda: pending(process.pid) == 0, "the first signal to be taken", DEADLINE_S)
            wait_for(lambda: orders.waits_in(process.pid) in calls, f"{calls} again", DEADLINE_S)
            process.terminate()  # PHP resumes a read once
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""
    response = ProfiledResponse("", "app", 0, begin, time.monotonic_ns(), {})
    [artifact] = ADAPTER.collect(context, trigger, response, tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert artifact.path is not None
    functions = costs(ADAPTER.parse("xdebug", tmp_path / "artifacts" / artifact.path))
    assert {f"php::{wait}", "chained"} <= functions.keys()
    assert not any("Recorder" in name for name in functions), "the agent is not in profiles"


# --- whole runs ------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A finished run."""

    directory: Path
    raw: RawRun
    report: dict[str, Any]
    progress: str

    @property
    def cause(self) -> str:
        return str(self.report["verdict"]["cause"])

    def reasons(self) -> dict[str, str]:
        return {missing.signal: missing.reason for missing in self.raw.missing}

    def profile(self, tool: str) -> Profile:
        """The only result of a tool, complete and of the worker."""
        [artifact] = [a for a in self.raw.artifacts if a.tool == tool]
        assert artifact.status is ArtifactStatus.COMPLETE, artifact
        assert artifact.endpoint == "app"
        assert artifact.path is not None
        profile = ADAPTER.parse(tool, self.directory / artifact.path)
        assert profile.complete
        return profile


def recorded(directory: Path, launch: str, feeder: str, code: int = 0, **scenario: Any) -> Run:
    data = {
        "name": "worker",
        "target": {"runtime": "php", "launch": launch, **scenario.pop("target", {})},
        "load": {"each_round": feeder, "rounds": 7, "warmup_rounds": 1, "settle": "150ms"},
        "sample": {"interval": "200ms"},
        **scenario,
    }
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory) as run:
        ended, out, err = run.finish(120)
        run.assert_nothing_left()
    assert ended == code, err
    found = Path(out.splitlines()[-1])
    return Run(found, read_run(found), json.loads((found / "report.json").read_text()), err)


def costs(profile: Profile) -> dict[str, tuple[int, int]]:
    """Function -> calls and what its calls kept, callees included."""
    return {profile.frames[f.frame].function: (f.calls, f.inclusive_values[1]) for f in profile.functions}


def test_a_socket_worker_that_keeps_its_jobs(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    run = recorded(
        tmp_path,
        f"php {WORKER}/worker.php {address}",
        f"php {WORKER}/enqueue.php {address} 100 remember",
        target={"ready": address},
        profile=list(TOOLS),
    )
    assert run.cause == "leak.objects"
    finding = run.report["findings"][0]
    assert "garbage in cycles does not explain" in " ".join(e["text"] for e in finding["evidence"])
    assert "waits in" in run.reasons()["agent.php.orders"]
    assert not [signal for signal in run.reasons() if signal.startswith("profile")]

    kept = costs(run.profile("xdebug_trace"))
    calls, grown = kept["Worker->remember"]
    assert calls == 100
    assert 600_000 < grown < 1_000_000, "its texts have some 7 kB"
    assert kept["Worker->index"][1] < grown / 4, "no more than what it returns"
    assert kept["Worker->serve"][1] > 600_000
    assert costs(run.profile("xdebug"))["Worker->remember"][0] == 100
    assert run.profile("xdebug_gcstats").collections == ()


def test_a_messenger_consumer_that_keeps_its_messages(tmp_path: Path) -> None:
    queue = str(tmp_path / "queue.sqlite")
    subprocess.run(["php", str(MESSENGER / "produce.php"), "0"], env={**os.environ, "QUEUE": queue}, check=True)
    run = recorded(
        tmp_path,
        f"php {MESSENGER}/consume.php messenger:consume queue --sleep 0.05",
        f"php {MESSENGER}/produce.php 60 keep",
        target={"env": {"QUEUE": queue}},
        profile=list(TOOLS),
    )
    assert run.cause == "leak.objects"
    assert run.raw.manifest.costs["agent_floors_answered"] == run.raw.manifest.costs["agent_floors_asked"]
    inside = {name: s for (name, key), s in run.raw.series.items() if name == "agent.php.heap.size" and key is not None}
    assert len(inside["agent.php.heap.size"].values) >= 9
    assert {"probe.collect", "probe.trim"} <= {event.kind for event in run.raw.events}
    assert not [signal for signal in run.reasons() if signal.startswith(("profile", "agent"))]

    kept = costs(run.profile("xdebug_trace"))
    assert kept["IndexHandler->keep"][0] == 60
    assert kept["IndexHandler->keep"][1] > 1_000_000
    assert costs(run.profile("xdebug"))["Symfony\\Component\\Messenger\\Worker->run"][0] == 1
    run.profile("xdebug_gcstats")
