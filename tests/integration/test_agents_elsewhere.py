"""Agents in several places: launched on another host, placed on two, over a line that breaks, in two containers."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from balancing import balancer
from kept import processes_with
from processes import free_port, harness, wait_for
from ssh_hosts import SshHost, SshHosts
from staging import answers, container

from adapters.python.adapter import ADAPTER
from harness.correlate.build import correlate
from harness.errors import RunError
from harness.model.process import ProcessKey
from harness.model.run import RawRun, RunStatus
from harness.store.afar import arrived_in
from harness.store.reader import read_run
from harness.targets.ready import probe

pytestmark = pytest.mark.integration
APP = Path(__file__).parents[2] / "docker" / "gunicorn"
GUNICORN = f"{sys.executable} -m gunicorn --chdir {APP} --workers 2 app:application"


@pytest.fixture(scope="module")
def web(hosts: SshHosts) -> dict[str, SshHost]:
    return {"web-1": hosts.add("web-1", 1_000_000), "web-2": hosts.add("web-2", 55)}


class Recorded:
    """A run that is over."""

    def __init__(self, directory: Path, err: str) -> None:
        self.directory = directory
        self.err = err
        self.raw: RawRun = read_run(directory)
        self.report: dict[str, Any] = json.loads((directory / "report.json").read_text())
        self.missing = {missing.signal: missing.reason for missing in self.raw.missing}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.directory / "run.sqlite") as db:
            return db.execute(sql).fetchall()


def record(directory: Path, hosts: SshHosts, **scenario: object) -> Recorded:
    data = {"name": "shop", "sample": {"interval": "500ms"}, **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory, env={"PATH": hosts.path}) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    found = Recorded(Path(out.splitlines()[-1]), err)
    assert found.raw.manifest.status is RunStatus.COMPLETE
    return found


REQUESTS = [{"name": "home", "get": "/"}, {"name": "keep", "get": "/keep"}]
LOAD = {"rounds": 7, "requests_per_round": 200, "concurrency": 2, "warmup_rounds": 1}


def test_a_leaking_application_is_started_there_and_the_leak_ends_at_its_line(
    hosts: SshHosts, web: dict[str, SshHost], tmp_path: Path
) -> None:
    host = web["web-1"]
    url = f"http://{host.address}:8000"
    target = {"runtime": "python", "host": "ssh://root@web-1", "launch": f"{GUNICORN} --bind {host.address}:8000",
              "ready": f"{url}/health"}  # fmt: skip
    run = record(tmp_path, hosts, target=target, requests=REQUESTS, load=LOAD)
    leaks = [finding for finding in run.report["findings"] if finding["cause"] == "leak.objects"]
    assert leaks
    subject = leaks[0]["subject"]
    assert subject["host"] == "web-1"
    assert subject["endpoint"] == "keep"
    assert (Path(subject["location"]["file"]).name, subject["location"]["line"]) == ("app.py", 13)
    timeline = correlate(run.raw)
    assert timeline.coverage.joined == timeline.coverage.spans
    assert {record.host for record in run.raw.records} == {"web-1"}
    begun, ended = run.raw.manifest.started_ns, run.raw.manifest.ended_ns
    assert ended
    assert all(begun <= (record.start_ns or 0) <= ended for record in run.raw.records)
    floors = run.rows("SELECT count(*) FROM series WHERE metric = 'agent.python.pymalloc.live'")
    assert floors[0][0] >= 2
    assert {tool.error for tool in run.raw.tools if tool.file} == {None}
    costs = run.raw.manifest.costs
    assert "agent_floors_answered" in costs
    assert costs["agent_floors_asked"] == costs["agent_floors_answered"]
    assert 0 < (costs["agent_us_per_request"] or 0) < 10_000
    assert (costs["agent_requests_timed"] or 0) > 7 * 200 // 32 / 2
    assert 0 < (costs["keeper_cpu_percent.web-1"] or 0) < 100
    assert not list(host.temporary.iterdir())
    assert not list(processes_with(f"{host.temporary}"))


WORKER = """
import os, sys
kept = []
def keep(line):
    kept.append(bytearray(30_000))
os.mkfifo(sys.argv[1])
while True:
    with open(sys.argv[1]) as pipe:
        for line in pipe:
            keep(line)
"""


def test_a_worker_there_is_profiled_while_it_takes_orders(
    hosts: SshHosts, web: dict[str, SshHost], tmp_path: Path
) -> None:
    script, pipe, feeder = tmp_path / "worker.py", tmp_path / "pipe", tmp_path / "feed"
    script.write_text(WORKER)
    feeder.write_text(f"#!/bin/sh\nuntil [ -p {pipe} ]; do sleep 0.05; done\nyes job | head -n 20 > {pipe}\n")
    feeder.chmod(0o755)
    target = {"runtime": "python", "host": "ssh://root@web-1", "launch": f"{sys.executable} {script} {pipe}",
              "python": {"jobs": ["worker:keep"]}}  # fmt: skip
    load = {"each_round": str(feeder), "rounds": 7, "warmup_rounds": 1, "settle": "200ms"}
    run = record(tmp_path, hosts, target=target, load=load, profile=["tracemalloc"])
    assert {found.name for found in run.raw.records} == {"worker:keep"}
    [artifact] = run.raw.artifacts
    assert (artifact.endpoint, artifact.attributes["host"]) == ("worker:keep", "web-1")
    assert artifact.path is not None
    [line, *_] = ADAPTER.parse("tracemalloc", run.directory / artifact.path).lines
    assert (line.file, line.line) == (str(script), 5)
    assert [
        finding["subject"]["host"] for finding in run.report["findings"] if finding["cause"].startswith("leak")
    ] == ["web-1"]
    assert not list(web["web-1"].temporary.iterdir())


class Placed:
    """gunicorn on a host, started with the agent that `harness agent` has put there."""

    def __init__(self, host: SshHost, hosts: SshHosts, directory: Path) -> None:
        self.host = host
        self.directory = directory / host.name
        self.url = f"http://{host.address}:8010"
        words = [sys.executable, "-m", "harness", "agent", f"ssh://root@{host.name}{self.directory}"]
        subprocess.run(words, check=True, env={**os.environ, "PATH": hosts.path}, capture_output=True)
        lines = (self.directory / "agent.env").read_text().splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        command = [*GUNICORN.split(), "--bind", f"{host.address}:8010", "--log-level", "error"]
        self.server = host.spawn(command, env={**os.environ, **variables})
        wait_for(lambda: probe(f"{self.url}/health") is None, "the server")

    @property
    def spec(self) -> dict[str, object]:
        return {"host": f"ssh://root@{self.host.name}", "role": "web", "agent": str(self.directory)}

    @property
    def results(self) -> list[Path]:
        return list((self.directory / "results").iterdir())

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()


@pytest.fixture(scope="module")
def placed(
    hosts: SshHosts, web: dict[str, SshHost], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Placed]]:
    directory = tmp_path_factory.mktemp("agents")
    made = {name: Placed(host, hosts, directory) for name, host in web.items()}
    yield made
    for each in made.values():
        each.stop()


def test_of_two_hosts_with_an_agent_each_the_one_that_leaks_is_named_with_its_line(
    hosts: SshHosts, placed: dict[str, Placed], tmp_path: Path
) -> None:
    one, two = placed.values()
    with balancer(tmp_path, {"/": one.url, "/keep": two.url}) as url:
        target = {"runtime": "python", "hosts": [one.spec, two.spec], "attach": {"port": 8010}, "url": url}
        requests = [{"name": "healthy", "get": "/"}, {"name": "keep", "get": "/keep"}]
        run = record(tmp_path, hosts, target=target, requests=requests, load=LOAD)
    with harness("doctor", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as running:
        code, said, err = running.finish()
    assert code == 0, said + err
    for each in (one, two):
        found = (
            f"target.hosts {each.host.name}, agent: {each.directory} holds an agent of this version; 3 of 3 processes"
        )
        assert found in said, said
    leaks = [finding for finding in run.report["findings"] if finding["cause"] == "leak.objects"]
    assert {leak["subject"]["host"] for leak in leaks} == {"web-2"}
    location = leaks[0]["subject"]["location"]
    assert (leaks[0]["subject"]["endpoint"], Path(location["file"]).name, location["line"]) == ("keep", "app.py", 13)
    workers = {(j.span.endpoint, j.worker.host) for j in correlate(run.raw).spans if j.worker is not None}
    assert workers == {("healthy", "web-1"), ("keep", "web-2")}
    assert {boot.host for boot in run.raw.boots} == {"web-1", "web-2"}
    assert not [signal for signal in run.missing if signal.startswith("agent.")]
    hosts_of_floors = run.rows(
        "SELECT DISTINCT host FROM series JOIN process ON process.id = process_id WHERE metric = 'agent.python.lag'"
    )
    assert set(hosts_of_floors) == {("web-1",), ("web-2",)}
    with harness("bundle", run.directory, "-o", "shared.bundle", cwd=tmp_path) as running:
        code, _, err = running.finish()
    assert code == 0, err
    with zipfile.ZipFile(tmp_path / "shared.bundle") as bundle:
        assert not [entry for entry in bundle.namelist() if b"web-" in bundle.read(entry)], (
            "names of hosts are not shared"
        )
    assert not one.results + two.results
    assert (two.directory / "agent.env").exists()
    assert not list(two.host.temporary.iterdir())


def test_a_line_that_breaks_loses_no_record_and_repeats_none(
    hosts: SshHosts, placed: dict[str, Placed], tmp_path: Path
) -> None:
    """Requests go on from a place that the cut does not part from the server, while nobody hears of their records."""
    two = placed["web-2"]
    asked = tmp_path / "asked"
    loop = f"""
import pathlib, time, urllib.request
n = 0
while not pathlib.Path({str(tmp_path / "enough")!r}).exists():
    urllib.request.urlopen({two.url!r} + "/?n=%d" % n).read()
    n += 1
    time.sleep(0.005)
pathlib.Path({str(asked)!r}).write_text(str(n))
"""

    def so_far() -> RawRun | None:
        """What can be read of the run, which may only just have begun."""
        for run in tmp_path.glob("runs/*"):
            with contextlib.suppress(RunError):
                return read_run(run)
        return None

    def seen(kind: str) -> bool:
        run = so_far()
        return run is not None and any(event.kind == kind for event in run.events)

    def cut() -> None:
        try:
            wait_for(lambda: (run := so_far()) is not None and run.records, "records")
            two.host.cut()
            try:
                wait_for(lambda: seen("host.down"), "the line to break")
            finally:
                two.host.mend()
            wait_for(lambda: seen("host.up"), "the line")
        finally:
            (tmp_path / "enough").touch()
            client.wait()
            (tmp_path / "asked-all").touch()

    script = tmp_path / "job"
    script.write_text(f"#!/bin/sh\nuntil [ -e {tmp_path}/asked-all ]; do sleep 0.1; done\n")
    script.chmod(0o755)
    client = two.host.spawn([sys.executable, "-c", loop])
    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        target = {"runtime": "python", "host": two.spec, "attach": {"port": 8010}}
        run = record(tmp_path, hosts, target=target, load={"rounds": 7, "each_round": str(script)}, profile="none")
    finally:
        cutting.join()
    assert [event.kind for event in run.raw.events if event.kind in ("host.down", "host.up")] == [
        "host.down",
        "host.up",
    ]
    by_worker: dict[int, list[int]] = {}
    for found in run.raw.records:
        by_worker.setdefault(found.pid, []).append(found.sequence or 0)
    for numbers in by_worker.values():
        assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1)), "none lost, none twice"
    assert sum(map(len, by_worker.values())) <= int(asked.read_text())
    assert len(by_worker) == 2


def test_after_the_session_was_killed_it_is_known_up_to_when_records_have_arrived(
    hosts: SshHosts, placed: dict[str, Placed], tmp_path: Path
) -> None:
    """The line is cut, requests go on, and the session is killed before it hears of them."""
    two = placed["web-2"]
    asking = (
        "import sys, time, urllib.request\nwhile True: urllib.request.urlopen(sys.argv[1]).read(); time.sleep(0.005)"
    )
    data = {"name": "shop", "target": {"runtime": "python", "host": two.spec, "attach": {"port": 8010}},
            "load": {"observe": "10m"}, "profile": "none"}  # fmt: skip
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))

    def until_ns() -> int | None:
        found = (arrived for path in tmp_path.glob("runs/*") for _, arrived in arrived_in(path))
        return next((arrived.until_ns for arrived in found if arrived is not None), None)

    def there() -> dict[tuple[int, int], int]:
        """When each request was over, by its worker and number, by the clock there."""
        (path,) = (two.directory / "records").iterdir()
        whole = path.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole if '"k":"req"' in line]
        return {(each["pid"], each["n"]): each["t1"] for each in found}

    client = two.host.spawn([sys.executable, "-c", asking, f"{two.url}/"])
    try:
        with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
            wait_for(until_ns, "the agents")
            first = until_ns() or 0
            wait_for(lambda: (until_ns() or 0) > first, "all records of a second")
            two.host.cut()
            try:
                before = len(there())
                wait_for(lambda: len(there()) > before + 100, "records that cannot be sent")
                run.process.kill()
                run.process.wait()
            finally:
                two.host.mend()
            wait_for(lambda: not list(two.host.temporary.iterdir()), "the end of it there")
    finally:
        client.kill()
        client.wait()
    (directory,) = tmp_path.glob("runs/*")
    with harness("report", directory, "--format", "json", cwd=tmp_path) as report:
        code, out, err = report.finish()
    assert code == 0, err
    raw = read_run(directory)
    assert raw.manifest.status is RunStatus.INTERRUPTED
    missing = json.loads(out)["missing"]
    assert "samples of web-2" in {each["signal"] for each in missing}
    [(reason, costs)] = [(m["reason"], m["costs"]) for m in missing if m["signal"].startswith("agent.")]
    assert reason.startswith("the harness was killed: what agents recorded on web-2 is here up to ")
    assert reason.endswith(f"is only in {two.directory} on web-2")
    assert costs == "that no request was recorded there after it does not mean that there was none"
    until, [host] = until_ns(), raw.manifest.hosts
    assert until is not None
    arrived = {(found.pid, found.sequence) for found in raw.records}
    written = {request: t_ns - host.offset_ns for request, t_ns in there().items()}
    due = {request for request, t_ns in written.items() if first + 1e8 < t_ns < until - 1e8}
    assert due
    assert due <= arrived, "what is said to be here"
    assert len({request for request, t_ns in written.items() if t_ns > until} - arrived) >= 100, (
        "what is said not to be"
    )


HOSTILE = """
import json, os, pathlib, signal, sys, time
directory, secret = map(pathlib.Path, sys.argv[1:])
[records] = (directory / "records").iterdir()
results = directory / "results"
order = directory / "python" / "orders" / "order"
os.symlink(secret, results / "link.json")
os.link(secret, results / "hard.json")
os.mkfifo(results / "fifo.json")
(results / "plain.json").write_text("{}")
with (results / "huge.json").open("wb") as huge:
    huge.truncate(1 << 40)
names = ["link.json", "hard.json", "fifo.json", "plain.json", "huge.json", "../agent.env", "/etc/passwd", "agent.env"]

def say(**record):
    with records.open("ab") as file:
        file.write(json.dumps({"rt": "python", "t": time.monotonic_ns(), **record}).encode() + b"\\n")

def answer(number, frame):
    say(k="floor", pid=1, n=int(order.read_text().split()[0]), v={"pymalloc.live_bytes": 1})

signal.signal(signal.SIGRTMAX - 9, answer)
say(k="boot", pid=os.getpid(), ppid=1, version="3", argv="x")
print("ready", flush=True)
while True:
    for pid in (1, 4194303, os.getppid(), os.getpid()):
        for name in names:
            say(k="tool", pid=pid, span=None, tool="tracemalloc", file=name, error=None, v={})
        now = time.monotonic_ns()
        say(k="req", pid=pid, n=1, t0=now, t1=now, span=None, name="forged", st=200, first=0, v={})
    with records.open("ab") as file:
        file.write(b"\\xff\\x00" * 5000 + b"{\\n")
    time.sleep(0.2)
"""


def test_a_hostile_agent_gets_nothing_out_of_the_directory(
    hosts: SshHosts, web: dict[str, SshHost], tmp_path: Path
) -> None:
    """Links, a huge file, forged process ids, names with ``..``: no file is fetched that this run has not asked for."""
    directory = tmp_path / "agent"
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    words = [sys.executable, "-m", "harness", "agent", f"ssh://root@web-1{directory}"]
    subprocess.run(words, check=True, env={**os.environ, "PATH": hosts.path}, capture_output=True)
    argv = [sys.executable, "-c", HOSTILE, str(directory), str(secret)]
    program = web["web-1"].spawn(argv, stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    try:
        target = {"runtime": "python", "host": {"host": "ssh://root@web-1", "agent": str(directory)},
                  "attach": {"match": str(secret)}}  # fmt: skip
        run = record(tmp_path, hosts, target=target, load={"rounds": 7, "each_round": "sleep 0.3"}, profile="none")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
    (mirrored,) = (run.directory / "work" / "hosts").iterdir()
    assert not list((mirrored / "results").iterdir())
    assert [path.name for path in (mirrored / "records").iterdir()] == [
        p.name for p in (directory / "records").iterdir()
    ]
    assert not list((run.directory / "artifacts").glob("*.json"))
    for path in run.directory.rglob("*"):
        assert not path.is_file() or b"the secret" not in path.read_bytes()
    own = {info.key.pid for info in run.raw.processes}
    assert {found.pid for found in run.raw.records} <= own
    assert secret.read_text() == "the secret"
    left = {path.name for path in (directory / "results").iterdir()}
    assert left == {"fifo.json", "link.json"}, "files are removed at the end, and nothing else is touched"
    assert "agent.records.unplaced" in run.missing
    assert "agent.records.unparsed" in run.missing


@contextlib.contextmanager
def contained(directory: Path) -> Iterator[tuple[str, str]]:
    """A container of this machine that was started with an agent of its own: its name and address."""
    words = [sys.executable, "-m", "harness", "agent", str(directory), "--inside", "/harness"]
    subprocess.run(words, check=True, capture_output=True)
    address = f"127.0.0.1:{free_port()}"
    variables, volume = str(directory / "agent.env"), f"{directory}:/harness"
    with container("gunicorn", ("-e", f"LISTEN={address}", "--env-file", variables, "-v", volume)) as name:
        answers(f"http://{address}/health", name)
        yield name, address


def test_two_containers_with_an_agent_each_whose_process_ids_are_the_same(hosts: SshHosts, tmp_path: Path) -> None:
    with (
        contained(tmp_path / "one") as (one, first),
        contained(tmp_path / "two") as (two, second),
        balancer(tmp_path, {"/": f"http://{first}", "/keep": f"http://{second}"}) as url,
    ):
        containers = [{"name": one, "role": "old", "agent": "one"}, {"name": two, "role": "new", "agent": "two"}]
        target = {"runtime": "python", "containers": containers, "url": url}
        run = record(tmp_path, hosts, target=target, requests=REQUESTS, load=LOAD)
    assert "agent.records.unplaced" not in run.missing
    workers = {(j.span.endpoint, pool_of(run, j.worker)) for j in correlate(run.raw).spans if j.worker is not None}
    assert workers == {("home", "old"), ("keep", "new")}
    [leak] = [finding["subject"] for finding in run.report["findings"] if finding["cause"] == "leak.objects"]
    assert (leak["pool"], leak["endpoint"], leak["location"]["line"]) == ("new", "keep", 13)


def pool_of(run: Recorded, worker: ProcessKey) -> str:
    return next(info.pool for info in run.raw.processes if info.key == worker)
