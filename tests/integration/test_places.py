"""Runs in several kinds of places at once: containers here and on other hosts, pods, containers that are only reached by exec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import kubectl_standin
import pytest
from balancing import balancer
from processes import free_port, harness, wait_for
from ssh_hosts import SshHost, SshHosts
from staging import ENGINE, answers, container, inspect, php_stack, podman

from harness.correlate.build import correlate
from harness.model.event import Event
from harness.model.process import ProcessInfo, host_key
from harness.model.run import RawRun
from harness.model.timeline import Timeline
from harness.store.reader import read_run
from harness.targets.containers import inside_pid
from harness.targets.ready import probe

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROGRAMS = Path(__file__).parents[1] / "programs"
AHEAD_S = 5000
LIMIT = 96 << 20
WWW_DATA = 33  # base-passwd of Debian
LEFT = "ls -d /tmp/harness-* 2>/dev/null || true"


class Ran:
    """A run that has ended."""

    def __init__(self, out: str, progress: str) -> None:
        self.progress = progress
        self.directory = directory = Path(out.splitlines()[-1])
        self.raw: RawRun = read_run(directory)
        self.timeline: Timeline = correlate(self.raw)
        self.report: dict[str, Any] = json.loads((directory / "report.json").read_text())

    def events(self, kind: str) -> list[Event]:
        return [event for event in self.timeline.events if event.kind == kind]

    @property
    def pools(self) -> dict[str, set[str]]:
        """By pool: on which hosts its processes are."""
        found: dict[str, set[str]] = {}
        for info in self.processes:
            found.setdefault(info.pool, set()).add(info.key.host)
        return found

    def shares_nothing_of(self, *names: str) -> bool:
        """Whether none of the names is in what is shared of it."""
        bundle = self.directory.with_suffix(".bundle")
        words = [sys.executable, "-m", "harness", "bundle", str(self.directory), "-o", str(bundle)]
        subprocess.run(words, check=True, capture_output=True)
        with zipfile.ZipFile(bundle) as packed:
            parts = [packed.read(entry) for entry in packed.namelist()]
        return not [name for name in names for part in parts if name.encode() in part]

    @property
    def processes(self) -> list[ProcessInfo]:
        return [info for info in self.raw.processes if info.key != host_key(info.key.host)]


@pytest.fixture(scope="module")
def web_1(hosts: SshHosts) -> SshHost:
    return hosts.add("web-1", AHEAD_S)


@pytest.fixture(scope="module")
def web_2(hosts: SshHosts) -> SshHost:
    """With our clock, which is that of our containers: seen from another one runc takes them for stopped, and what agents in them
    tell is of another time."""
    return hosts.add("web-2")


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[str, str]]:
    """gunicorn with one worker, a limit, and a restart policy: its container and its address."""
    address = f"127.0.0.1:{free_port()}"
    limits = ("--memory", str(LIMIT), "--memory-swap", str(LIMIT), "--restart", "always")
    with container("gunicorn", (*limits, "-e", f"LISTEN={address}", "-e", "WORKERS=1")) as name:
        answers(f"http://{address}/health", name)
        yield name, f"http://{address}"


@pytest.fixture(scope="module")
def db() -> Iterator[str]:
    redis = ("redis-server", "--save", "", "--bind", "127.0.0.1", "--port", str(free_port()))
    with container("redis", ("--memory", "64m"), redis) as name:
        yield name


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    return tmp_path / "scenario.yaml"


def written(scenario: Path, **of: object) -> str:
    scenario.write_text(json.dumps({"name": "places", "sample": {"interval": "250ms"}, **of}))
    return scenario.name


def test_a_container_here_and_a_host_of_one_role_with_a_database_beside(
    hosts: SshHosts, web_1: SshHost, shop: tuple[str, str], db: str, scenario: Path
) -> None:
    """The container leaks, the host does not; others are only watched. This machine has something measured, and is judged."""
    name, url = shop
    there = f"http://{web_1.address}:8000"
    words = [sys.executable, str(PROGRAMS / "plain_server.py"), "8000", "places"]
    server = web_1.spawn(words, env={**os.environ, "LISTEN": web_1.address})
    beside = subprocess.Popen(["sleep", "600"])
    try:
        wait_for(lambda: probe(f"{there}/ok") is None, "the server")
        ask = [sys.executable, str(PROGRAMS / "ask_nodes.py"), "150", f"{url}/keep", f"{there}/ok"]
        target = {
            "containers": [{"name": name, "role": "web"}, {"name": db, "role": "db", "measured": False}],
            "hosts": [
                {"host": "ssh://root@web-1", "role": "web", "attach": {"port": 8000}},
                {"host": "local", "name": "cron", "role": "cron", "measured": False, "attach": {"pid": beside.pid}},
            ],
        }
        load = {"rounds": 8, "each_round": " ".join(ask)}
        with harness(
            "run", written(scenario, target=target, load=load), cwd=scenario.parent, env={"PATH": hosts.path}
        ) as run:
            code, out, err = run.finish()
            run.assert_nothing_left()
    finally:
        for process in (server, beside):
            process.kill()
            process.wait()
    assert code == 0, err
    ran = Ran(out, err)
    pools = {
        pool: where for pool, where in ran.pools.items() if pool != "job"
    }  # which is seen if it is there long enough
    assert pools == {f"web-{name}": {""}, "db": {""}, "cron": {""}, "web-1": {"web-1"}}
    assert ran.raw.manifest.unmeasured_pools == ("cron", "db", "job")
    assert {host.name: host.first for host in ran.raw.manifest.hosts} == {"cron": True, "web-1": False}
    assert {clock.host.name: clock.error_ns == 0 for clock in ran.timeline.hosts} == {"cron": True, "web-1": False}
    leaks = [finding["subject"]["pool"] for finding in ran.report["findings"] if finding["cause"].startswith("leak")]
    assert leaks == [f"web-{name}"]
    (siblings,) = ran.report["siblings"]
    assert siblings["differ"] == [f"web-{name}"]
    assert siblings["text"].startswith(f"Of the 2 hosts and containers of role web, only web-{name} grows")
    floors = {(floor.process.host, floor.round) for floor in ran.timeline.floors if floor.phase == "rounds"}
    assert {(host, number) for host in ("", "web-1") for number in range(8)} == floors
    assert not list(web_1.temporary.iterdir())


def test_where_only_a_database_is_here_the_other_host_is_judged(
    hosts: SshHosts, web_1: SshHost, db: str, scenario: Path
) -> None:
    with web_1.spawn(["sleep", "600"]) as there:
        try:
            target = {
                "containers": [{"name": db, "role": "db", "measured": False}],
                "hosts": [{"host": "ssh://root@web-1", "attach": {"match": "sleep 600"}}],
            }
            words = written(scenario, target=target, load={"observe": "4s"})
            with harness("run", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
                code, out, err = run.finish()
        finally:
            there.kill()
    assert code == 0, err
    ran = Ran(out, err)
    assert [host.first for host in ran.raw.manifest.hosts] == [True]
    for process in (None, host_key("")):
        assert ("system.meminfo.MemTotal", process) in ran.timeline.series
    assert ("cgroup.db.memory.max", host_key("")) in ran.timeline.series
    (further,) = [missing.reason for missing in ran.raw.missing if missing.signal == "system of further hosts"]
    assert further == "the kernel of web-1 is judged; values of this machine are recorded and shown"
    floors = {(floor.process.host, floor.t_ns) for floor in ran.timeline.floors}
    assert {host for host, _ in floors} == {"", "web-1"}


def test_a_container_on_another_host_that_runs_out_of_memory_and_is_started_anew(
    hosts: SshHosts, web_1: SshHost, shop: tuple[str, str], scenario: Path
) -> None:
    """On that host's clock, with its error."""
    name, url = shop
    target = {"host": {"host": "ssh://root@web-1", "role": "web"}, "container": name}
    words = written(scenario, target=target, load={"observe": "14s"})
    with harness("run", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
        run.read_until("watched for")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/take?mib=200", timeout=60)
        run.read_until("for lack of memory")
        first = inspect(name)["State"]["Pid"]
        os.kill(first, 9)
        run.read_until("was started anew")
        answers(f"{url}/health", name)
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    ran = Ran(out, err)
    (host,) = ran.raw.manifest.hosts
    assert host.first
    assert abs(host.offset_ns - web_1.ahead_ns) < 50_000_000
    assert ran.pools == {"web-1": {"web-1"}}
    started, again = ran.events("container.start")
    assert (started.attributes["memory_bytes"], started.attributes["role"]) == (LIMIT, "web")
    assert again.attributes["generation"] == 2
    assert ran.raw.manifest.facts["container.web-1"] == f"{name}, by podman on web-1"
    killed = ran.events("container.oom")[0]
    assert killed.attributes["limit_bytes"] == LIMIT
    (ended,) = ran.events("container.exit")
    assert ended.attributes["generation"] == 1
    assert not ended.attributes["exact"], "the kernel tells of exits in the machine's own network only"
    assert ran.raw.manifest.ended_ns is not None
    for event in (killed, ended, started, again):
        assert event.attributes["host"] == "web-1"
        within = event.attributes["within_ns"]
        assert isinstance(within, int)
        assert 0 < within < 50_000_000
        assert ran.raw.manifest.started_ns <= event.t_ns <= ran.raw.manifest.ended_ns
    inner = {event.attributes["inner_pid"] for event in ran.events("container.process")}
    assert 1 in inner
    assert any(metric == "cgroup.web-1.memory.max" for metric, _ in ran.timeline.series)
    assert ran.shares_nothing_of(name, "web-1")
    assert not list(web_1.temporary.iterdir())


def test_profiles_of_xdebug_come_out_of_a_container_on_another_host(
    hosts: SshHosts, web_2: SshHost, scenario: Path
) -> None:
    """By its engine there; ids of workers in names are those of the container, and become those of the host."""
    with php_stack() as stack:
        there = "ssh://root@web-2"
        xdebug = {
            "secret": "${XDEBUG_SECRET}",
            "host": there,
            "container": stack.second,
            "output_dir": "/var/lib/harness-xdebug",
        }
        contained = [{"name": stack.php, "role": "php"}, {"name": stack.second, "role": "xdebug", "measured": False}]
        target = {
            "runtime": "php",
            "url": stack.url,
            "host": {"host": there, "containers": contained},
            "php": {"xdebug": xdebug},
        }
        requests = [{"name": "home", "get": "/"}]
        load = {"rounds": 7, "requests_per_round": 5, "blocks": 1, "settle": "20ms"}
        words = written(scenario, target=target, requests=requests, load=load, profile=["xdebug"])
        environment = {"PATH": hosts.path, "XDEBUG_SECRET": stack.secret}
        with harness("run", words, cwd=scenario.parent, env=environment) as run:
            code, out, err = run.finish()
            run.assert_nothing_left()
        assert code == 0, err
        ran = Ran(out, err)
        (worker,) = {info.key.pid for info in ran.processes if info.cmdline == "php-fpm: pool xdebug"}
        assert inside_pid(worker) not in (None, worker)
        assert stack.profiles == "", "what was collected is removed"
    profiled = [artifact for artifact in ran.raw.artifacts if artifact.path is not None]
    assert profiled
    for artifact in profiled:
        assert (artifact.attributes["found_by"], artifact.attributes["host"], artifact.pid) == ("name", "web-2", worker)
    joined = {(span.method.value, span.worker.pid) for span in ran.timeline.spans if span.worker is not None}
    assert ("profile-file", worker) in joined
    assert ran.shares_nothing_of(stack.second, "web-2", stack.secret)
    assert not list(web_2.temporary.iterdir())


def test_a_container_that_is_not_on_the_host(hosts: SshHosts, web_1: SshHost, scenario: Path) -> None:
    target = {"host": "ssh://root@web-1", "container": "no-such-container"}
    words = written(scenario, target=target, load={"observe": "1m"})
    with harness("run", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
        code, _, err = run.finish()
    assert code == 3
    assert "the container no-such-container is not found: podman on web-1: " in err
    assert not list(web_1.temporary.iterdir())


def test_a_container_on_a_host_without_python(hosts: SshHosts, shop: tuple[str, str], scenario: Path) -> None:
    """A shell shows its processes: the tree below the first one, found by the container's engine there."""
    name, _ = shop
    hosts.add("bare-1", 77, python=False)
    target = {"hosts": [{"host": "ssh://root@bare-1", "container": name}]}
    words = written(scenario, target=target, load={"observe": "3s"})
    with harness("run", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
        code, out, err = run.finish()
    assert code == 0, err
    ran = Ran(out, err)
    assert ran.pools == {"bare-1": {"bare-1"}}
    assert len(ran.processes) == 2, "a master and a worker"
    assert [event.attributes["memory_bytes"] for event in ran.events("container.start")] == [LIMIT]
    assert "container.group" in {missing.signal for missing in ran.raw.missing}


@contextmanager
def with_agent(directory: Path) -> Iterator[tuple[str, str]]:
    """A container with this agent's directory as /harness: its name and its address."""
    address = f"127.0.0.1:{free_port()}"
    mounted = ("--env-file", str(directory / "agent.env"), "-v", f"{directory}:/harness")
    with container("gunicorn", ("-e", f"LISTEN={address}", "-e", "WORKERS=1", *mounted)) as name:
        answers(f"http://{address}/health", name)
        yield name, f"http://{address}"


def write_agent(directory: str, path: str = os.environ["PATH"]) -> None:
    words = [sys.executable, "-m", "harness", "agent", directory, "--inside", "/harness"]
    subprocess.run(words, check=True, env={**os.environ, "PATH": path})


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    write_agent(str(tmp_path / "agent"))
    return tmp_path / "agent"


def profiled() -> dict[str, object]:
    requests = [{"name": "home", "get": "/"}, {"name": "keep", "get": "/keep"}]
    load = {"rounds": 7, "requests_per_round": 200, "concurrency": 2, "warmup_rounds": 1}
    return {"requests": requests, "load": load}


def assert_the_line_is_named(ran: Ran) -> None:
    assert ran.report["verdict"]["cause"] == "leak.objects"
    subject = ran.report["findings"][0]["subject"]
    assert (subject["endpoint"], subject["location"]["file"]) == ("keep", "/srv/app.py")
    assert "agent.records.unplaced" not in {missing.signal for missing in ran.raw.missing}


def test_agents_in_two_containers_of_another_host(
    hosts: SshHosts, web_2: SshHost, tmp_path: Path, scenario: Path
) -> None:
    """Their records carry the ids of the container, which are the same in both; results are fetched from there."""
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        write_agent(f"ssh://root@web-2{directory}", hosts.path)
    with (
        with_agent(one) as (first, old),
        with_agent(two) as (second, new),
        balancer(tmp_path, {"/": old, "/keep": new}) as url,
    ):
        containers = [
            {"name": first, "role": "old", "agent": str(one)},
            {"name": second, "role": "new", "agent": str(two)},
        ]
        target = {
            "runtime": "python",
            "hosts": [{"host": "ssh://root@web-2", "containers": containers}],
            "url": url,
        }
        words = written(scenario, target=target, **profiled())
        with harness("doctor", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
            code, said, err = run.finish()
        assert code == 0, said + err
        for name, directory in ((first, one), (second, two)):
            assert f"web-2, agent in {name}: {directory} holds an agent of this version; 2 of 2 processes" in said
        with harness("run", words, cwd=scenario.parent, env={"PATH": hosts.path}) as run:
            code, out, err = run.finish()
            run.assert_nothing_left()
    assert code == 0, err
    assert "warning: web-2" not in err
    ran = Ran(out, err)
    pools = {info.key: info.pool for info in ran.processes}
    workers = {(j.span.endpoint, pools[j.worker]) for j in ran.timeline.spans if j.worker is not None}
    assert workers == {("home", "web-2-old"), ("keep", "web-2-new")}
    assert len(ran.raw.records) >= len(ran.raw.spans) > 1500
    floors = {pools[p] for metric, p in ran.timeline.series if metric == "agent.python.lag" and p is not None}
    assert floors == {"web-2-old", "web-2-new"}
    assert_the_line_is_named(ran)
    assert ran.report["findings"][0]["subject"]["pool"] == "web-2-new"
    assert not list(web_2.temporary.iterdir())
    assert not [path for agent in (one, two) for path in (agent / "results").iterdir()]


def with_kubectl(directory: Path, name: str) -> str:
    """A PATH on which this container is kubectl's pod."""
    directory.mkdir()
    into = " ".join([*ENGINE, "exec", "-i", name])
    program = directory / "kubectl"
    program.write_text(f'#!/bin/sh\nKUBECTL_INTO="{into}" exec {sys.executable} -I {kubectl_standin.__file__} "$@"\n')
    program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.fixture
def pod(agent: Path, tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """A container whose volume with the agent belongs to the application's user; its name, its address, and a PATH on which
    it is kubectl's pod."""
    for path in (agent, *agent.rglob("*")):
        os.chown(path, WWW_DATA, WWW_DATA)
    with with_agent(agent) as (name, url):
        yield name, url, with_kubectl(tmp_path / "bin", name)


def test_a_pod_that_is_started_anew_ends_the_run_with_what_was_recorded(tmp_path: Path, scenario: Path) -> None:
    with container("redis", ("--restart", "always"), ("sleep", "600")) as name:
        words = written(scenario, target={"host": f"kubectl://staging/{kubectl_standin.POD}"}, load={"observe": "10m"})
        with harness("run", words, cwd=tmp_path, env={"PATH": with_kubectl(tmp_path / "bin", name)}) as run:
            run.read_until("watched for")
            os.kill(inspect(name)["State"]["Pid"], 9)
            code, out, err = run.finish()
            run.assert_nothing_left()
        assert code == 3, err
        assert "nothing of the run is left" in err
        assert Ran(out, err).pools == {kubectl_standin.POD: {kubectl_standin.POD}}
        assert podman("exec", name, "sh", "-c", LEFT) == ""


def test_a_pod_is_read_from_inside_down_to_the_line(pod: tuple[str, str, str], scenario: Path) -> None:
    """Processes by their ids in the pod, records and profiles of the agent in it; and nothing of ours is left there."""
    name, url, path = pod
    address = f"kubectl://kind-test@staging/{kubectl_standin.POD}/web"
    target = {"runtime": "python", "host": {"host": address, "agent": "/harness"}, "url": url}
    checked = written(scenario, target=target, **profiled())
    with harness("doctor", checked, cwd=scenario.parent, env={"PATH": path}) as run:
        code, said, err = run.finish()
    assert code == 0, said + err
    assert "agent: /harness holds an agent of this version; 2 of " in said, said
    with harness("run", written(scenario, target=target, **profiled()), cwd=scenario.parent, env={"PATH": path}) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    ran = Ran(out, err)
    label = kubectl_standin.POD
    assert ran.pools == {label: {label}}
    assert 1 in {info.key.pid for info in ran.processes}
    assert not [info.cmdline for info in ran.processes if "harness" in info.cmdline]
    assert_the_line_is_named(ran)
    assert "cgroup.memory" in {missing.signal for missing in ran.raw.missing}, "the sampler is in the group"
    assert ran.shares_nothing_of(label, "staging", "kind-test")
    assert podman("exec", name, "sh", "-c", f"{LEFT}; ls /harness/results") == ""


def test_an_engine_whose_processes_are_elsewhere_is_read_through_exec(
    shop: tuple[str, str], tmp_path: Path, scenario: Path
) -> None:
    """As with Docker Desktop: the engine's socket is here, and its processes are not in our /proc."""
    name, url = shop
    socket = tmp_path / "api.sock"
    service = subprocess.Popen([*ENGINE, "system", "service", "--time", "0", f"unix://{socket}"])
    alone = (
        "import os, sys; words = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', sys.executable, '-m', 'harness'];"
        "os.execvp(words[0], [*words, *sys.argv[1:]])"
    )
    try:
        wait_for(socket.exists, "podman's socket")
        target = {"container": {"name": name, "role": "web"}, "url": url}
        load = {"rounds": 7, "requests_per_round": 40, "blocks": 2, "settle": "20ms"}
        requests = [{"name": "ok", "get": "/"}]
        words = written(scenario, target=target, requests=requests, load=load)
        env = {"DOCKER_HOST": f"unix://{socket}"}
        with harness("run", words, cwd=scenario.parent, env=env, program=["-c", alone]) as run:
            code, out, err = run.finish()
    finally:
        service.terminate()
        service.wait(60)
    assert code == 0, err
    ran = Ran(out, err)
    assert "does not run on this machine" in err
    assert ran.pools == {"web": {"web"}}
    assert 1 in {info.key.pid for info in ran.processes}
    assert podman("exec", name, "sh", "-c", LEFT) == ""
    (reason,) = [missing.reason for missing in ran.raw.missing if missing.signal == "container"]
    assert "so it is read from inside" in reason
    assert len({floor.round for floor in ran.timeline.floors if floor.phase == "rounds"}) == 7
