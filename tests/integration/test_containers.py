"""Containers for real: the staging stacks of docker/ under podman, with limits that are hit, restarts, agents and profiles."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket as sockets
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest
import yaml
from processes import Harness, free_port, harness, wait_for
from staging import DOCKER, ENGINE, answers, container, inspect, logs, php_stack, podman

from harness.errors import TargetError
from harness.scenario.reader import read_scenario
from harness.targets.connectors.container import ContainerConnector
from harness.targets.connectors.spec import FileTooLong
from harness.targets.containers import find, inside_pid, is_here, life_of, parse_inspect
from harness.targets.engines.api import ApiEngine
from harness.targets.engines.choose import engines
from harness.targets.engines.command import CommandEngine
from harness.targets.engines.spec import Engine, NoSuchContainerError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
SCENARIO = "scenario.yaml"


class Run:
    """A finished run."""

    def __init__(self, running: Harness, codes: tuple[int, ...] = (0,)) -> None:
        self.code, out, self.progress = running.finish(400)
        assert self.code in codes, f"{out}\n{self.progress}"
        self.directory = Path(out.splitlines()[-1])
        self.report: dict[str, Any] = json.loads((self.directory / "report.json").read_text())
        self._db = sqlite3.connect(f"file:{self.directory / 'run.sqlite'}?mode=ro", uri=True)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._db.execute(sql))

    def events(self, kind: str) -> list[dict[str, Any]]:
        rows = self._db.execute("SELECT t_ns, text, attributes FROM event WHERE kind = ? ORDER BY t_ns", (kind,))
        return [{"t_ns": t_ns, "text": text, **json.loads(attributes)} for t_ns, text, attributes in rows]

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rows("SELECT value FROM meta WHERE key = 'facts'")[0][0])
        return found

    def missing(self) -> dict[str, str]:
        return dict(self.rows("SELECT signal, reason FROM missing"))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """gunicorn with two workers and 96 MiB, started again when it ends: its container and its address."""
    address = f"127.0.0.1:{free_port()}"
    options = ("--memory", "96m", "--memory-swap", "96m", "--restart", "always", "-e", f"LISTEN={address}")
    with container("gunicorn", options) as name:
        answers(f"http://{address}/health", name)
        yield name, f"http://{address}"


def first_pid(name: str) -> int:
    pid: int = inspect(name)["State"]["Pid"]
    return pid


# --- a stack --------------------------------------------------------------------------------------------------------


def test_a_stack_of_three_with_a_limit_that_is_hit(web: tuple[str, str], tmp_path: Path) -> None:
    """Every process by its control group, what exec started too; the kill is on the timeline, and is the finding."""
    name, url = web
    port = free_port()
    redis = ("redis-server", "--save", "", "--bind", "127.0.0.1", "--port", str(port))
    at = f"redis://127.0.0.1:{port}/0"
    with (
        container("redis", ("--memory", "64m"), redis) as store,
        container("redis", ("--memory", "96m", "-e", f"REDIS={at}"), ("python3", "/srv/worker.py")) as worker,
    ):
        wait_for(lambda: "Ready to accept connections" in logs(store), "redis")
        (tmp_path / SCENARIO).write_text(
            "name: stack\n"
            "target:\n"
            "  runtime: any\n"
            "  containers:\n"
            f"    - {{name: {name}, role: web}}\n"
            f"    - {{name: {worker}, role: worker}}\n"
            f"    - {{name: {store}, role: db, measured: false}}\n"
            "load: {observe: 30s}\n"
        )
        with (
            subprocess.Popen([*ENGINE, "exec", name, "sleep", "600"]) as beside,
            harness("run", SCENARIO, cwd=tmp_path) as running,
        ):
            running.read_until("watched for")
            podman("exec", "-e", f"REDIS={at}", worker, "python3", "/srv/enqueue.py", "50", "1000")
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"{url}/take?mib=200", timeout=60)
            running.read_until("for lack of memory")
            answers(f"{url}/health", name)
            run = Run(running)
            beside.kill()
        limit = 96 << 20
        assert {row[0] for row in run.rows("SELECT DISTINCT pool FROM process")} == {"web", "worker", "db"}
        commands = [row[0] for row in run.rows("SELECT cmdline FROM process WHERE pool = 'web'")]
        assert any(command.startswith("sleep 600") for command in commands), "what exec starts is in the group"
        assert not any("conmon" in command for command in commands)
        starts = {event["pool"]: event for event in run.events("container.start")}
        assert starts["web"]["memory_bytes"] == limit
        assert starts["worker"]["generation"] == 1
        [killed] = run.events("container.oom")
        assert (killed["pool"], killed["kills"], killed["told_by"], killed["limit_bytes"]) == ("web", 1, "group", limit)
        assert 0 < killed["t_ns"] - killed["since_ns"] < 30e9
        assert run.events("container.exit") == [], "only a worker was killed"
        died = [event for event in run.events("process.exit") if event.get("signal") == 9 and event["pool"] == "web"]
        assert died
        assert run.facts["cgroup.web"].endswith(inspect(name)["Id"])
        [limits] = run.rows("SELECT COUNT(*) FROM series WHERE metric = 'cgroup.web.memory.max'")
        assert limits[0] == 1
        [finding] = [f for f in run.report["findings"] if f["cause"] == "kernel.pressure"]
        assert (finding["severity"], finding["subject"]["pool"]) == ("critical", "web")
        assert "96.0 MiB" in finding["summary"]
        assert not [f for f in run.report["findings"] if f["subject"]["pool"] == "db"]


def test_a_container_whose_first_process_is_killed_comes_back_as_another_generation(
    web: tuple[str, str], tmp_path: Path
) -> None:
    name, url = web
    (tmp_path / SCENARIO).write_text(f"name: again\ntarget: {{container: {name}}}\nload: {{observe: 20s}}\n")
    with harness("run", SCENARIO, cwd=tmp_path) as running:
        running.read_until("watched for")
        first = first_pid(name)
        os.kill(first, 9)
        running.read_until("was started anew")
        answers(f"{url}/health", name)
        run = Run(running)
    assert first_pid(name) != first
    [ended] = run.events("container.exit")
    assert (ended["signal"], ended["oom"], ended["exact"], ended["generation"]) == (9, False, True, 1)
    assert [event["generation"] for event in run.events("container.start")] == [1, 2]
    assert run.events("container.oom") == []
    lives = run.rows("SELECT pid, ended_ns FROM process WHERE pool = 'app' ORDER BY born_ns")
    assert len(lives) >= 6, "a master and two workers, twice"
    assert dict(lives)[first_pid(name)] is None


def test_one_that_is_stopped_ends_the_run_with_what_was_recorded(web: tuple[str, str], tmp_path: Path) -> None:
    name, _ = web
    (tmp_path / SCENARIO).write_text(
        f"name: gone\ntarget: {{container: {name}, start_timeout: 2s}}\nload: {{observe: 10m}}\n"
    )
    with harness("run", SCENARIO, cwd=tmp_path) as running:
        running.read_until("watched for")
        podman("stop", "-t", "5", name)
        run = Run(running, codes=(3,))
    assert "has been away for 2 s" in run.progress
    [ended] = run.events("container.exit")
    assert ended["code"] == 0


def test_names_that_nobody_has(tmp_path: Path) -> None:
    (tmp_path / SCENARIO).write_text("name: x\ntarget: {container: no-such-container}\nload: {observe: 1m}\n")
    with harness("run", SCENARIO, cwd=tmp_path) as running:
        code, _, err = running.finish()
    assert code == 3
    assert "the container no-such-container is not found" in err


def test_a_first_scenario_for_a_container(web: tuple[str, str], tmp_path: Path) -> None:
    """By its name, and by the address that it answers at."""
    name, url = web
    for target, file in ((f"container:{name}", "by-name.yaml"), (url, "by-url.yaml")):
        with harness("init", target, "-o", file, cwd=tmp_path) as running:
            code, _, err = running.finish()
        assert code == 0, err
        assert f"the container {name}: gunicorn (pid {first_pid(name)}), 3 processes, python" in err
        target_section = read_scenario(tmp_path / file).target
        assert target_section is not None
        assert target_section.container is not None
        assert (target_section.container.name, target_section.ready) == (name, f"{url}/")


def test_a_watch_of_a_container(web: tuple[str, str], tmp_path: Path) -> None:
    name, _ = web
    with harness("watch", f"container:{name}", "--for", "10s", "--plain", cwd=tmp_path) as running:
        running.read_until("watched for")
        podman("update", "--memory", "80m", name)
        run = Run(running)
    assert {row[0] for row in run.rows("SELECT DISTINCT pool FROM process")} == {"app"}
    assert run.events("container.start")[0]["container"] == name
    [limit] = run.events("container.limit")
    assert (limit["before_bytes"], limit["memory_bytes"]) == (96 << 20, 80 << 20)
    inner = {event["inner_pid"] for event in run.events("container.process")}
    assert 1 in inner
    assert len(inner) >= 3
    with harness("bundle", run.directory, "-o", "shared.bundle", cwd=tmp_path) as running:
        code, _, err = running.finish()
    assert code == 0, err
    with zipfile.ZipFile(tmp_path / "shared.bundle") as bundle:
        assert not [entry for entry in bundle.namelist() if name.encode() in bundle.read(entry)], (
            "names of containers are not shared"
        )


# --- a whole run ----------------------------------------------------------------------------------------------------


def test_a_whole_run_with_the_agent_in_a_container(tmp_path: Path) -> None:
    """Every request is joined to its worker by inner process ids, and the leak ends at its line."""
    agent = tmp_path / "agent"
    subprocess.run([sys.executable, "-m", "harness", "agent", str(agent), "--inside", "/harness"], check=True)
    address = f"127.0.0.1:{free_port()}"
    options = (
        "--memory", "256m", "-e", f"LISTEN={address}", "--env-file", str(agent / "agent.env"), "-v", f"{agent}:/harness",
    )  # fmt: skip
    with container("gunicorn", options) as name:
        answers(f"http://{address}/health", name)
        (tmp_path / SCENARIO).write_text(
            "name: shop\n"
            f"target: {{runtime: python, container: {{name: {name}, agent: agent}}, url: 'http://{address}'}}\n"
            "requests: [{name: home, get: /}, {name: keep, get: /keep}]\n"
            "load: {rounds: 7, requests_per_round: 200, concurrency: 2, warmup_rounds: 1}\n"
        )
        with harness("doctor", SCENARIO, cwd=tmp_path) as running:
            code, said, err = running.finish()
        assert code == 0, said + err
        assert re.search(
            rf"container {name}, agent: {agent} holds an agent of this version; (\d) of \1 processes", said
        )
        with harness("run", SCENARIO, cwd=tmp_path) as running:
            run = Run(running)
            running.assert_nothing_left()
        workers = {pid for (pid,) in run.rows("SELECT DISTINCT pid FROM record")}
        assert all(inside_pid(pid) not in (None, pid) for pid in workers)
    assert run.report["verdict"]["cause"] == "leak.objects"
    subject = run.report["findings"][0]["subject"]
    assert subject["endpoint"] == "keep"
    assert subject["location"]["file"].endswith("srv/app.py")
    assert "agent.records.unplaced" not in run.missing()
    tools = {row[0] for row in run.rows("SELECT tool FROM artifact WHERE status = 'complete'")}
    assert "tracemalloc" in tools
    [spans] = run.rows("SELECT COUNT(*) FROM span")
    [records] = run.rows("SELECT COUNT(*) FROM record")
    assert records[0] >= spans[0] > 1500


def test_a_whole_run_of_the_php_stack(tmp_path: Path) -> None:
    """The agent and its pool in one container, profiles out of the second master's: what a page keeps ends at its line. The
    workers' access log is on a volume, with the ids that they have inside."""
    agent = tmp_path / "agent"
    command = [sys.executable, "-m", "harness", "agent", str(agent), "--inside", "/harness", "--runtime", "php"]
    subprocess.run(command, check=True)
    with_agent = ("--memory", "256m", "-v", f"{agent}:/harness", "--env-file", str(agent / "agent.env"))
    with php_stack(with_agent) as stack:
        log = Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", stack.volume)) / "www.access.log"
        (tmp_path / SCENARIO).write_text(
            "name: php\n"
            "target:\n"
            "  runtime: php\n"
            "  containers:\n"
            f"    - {{name: {stack.php}, role: php, agent: agent}}\n"
            f"    - {{name: {stack.nginx}, role: nginx, measured: false}}\n"
            f"  url: {stack.url}\n"
            "  php:\n"
            f"    xdebug: {{secret: '${{XDEBUG_SECRET}}', container: {stack.second}, output_dir: /var/lib/harness-xdebug,\n"
            "             access_log: /var/lib/harness-xdebug/access.log}\n"
            f"    fpm: {{access_log: '{log}'}}\n"
            "requests: [{name: home, get: /}, {name: keep, get: /keep}]\n"
            "load: {rounds: 7, requests_per_round: 100, concurrency: 2, warmup_rounds: 1}\n"
            "profile: [xdebug]\n"
        )
        with harness("run", SCENARIO, cwd=tmp_path, env={"XDEBUG_SECRET": stack.secret}) as running:
            run = Run(running)
            running.assert_nothing_left()
        assert stack.profiles == "", "what was collected is removed"
        profiled = run.rows("SELECT endpoint, pid, path FROM artifact WHERE tool = 'xdebug' AND status = 'complete'")
        assert {row[0] for row in profiled} == {"home", "keep"}
        assert all(b"php-fpm: pool xdebug" in Path(f"/proc/{pid}/cmdline").read_bytes() for _, pid, _ in profiled)
        workers = {pid for (pid,) in run.rows("SELECT DISTINCT pid FROM record WHERE source = 'php-agent'")}
        assert len(workers) == 2
        logged = run.rows("SELECT pid, COUNT(*) FROM record WHERE source = 'fpm-access-log' GROUP BY pid")
        assert {pid for pid, _ in logged} == workers
        assert all(b"php-fpm: pool www" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers)
        assert all(inside_pid(pid) not in (None, pid) for pid in workers)
    assert run.report["verdict"]["cause"] == "descriptors"
    subject = run.report["findings"][0]["subject"]
    assert (subject["pool"], subject["endpoint"]) == ("php", "keep")
    location = subject["location"]
    assert (location["file"], location["function"]) == ("/srv/index.php", "send_statistics")
    assert "agent.records.unplaced" not in run.missing()
    [records] = run.rows("SELECT COUNT(*) FROM record WHERE span_id IS NOT NULL AND source = 'php-agent'")
    assert sum(count for _, count in logged) == records[0]
    [without] = run.rows(
        "SELECT COUNT(*) FROM span WHERE span_id NOT IN (SELECT span_id FROM record WHERE span_id IS NOT NULL)"
    )
    assert without[0] == 6, "those that went to the second master"
    told = {metric for (metric,) in run.rows("SELECT DISTINCT metric FROM series WHERE metric LIKE 'agent.php.%'")}
    assert {"agent.php.opcache.hits", "agent.php.fpm.requests"} <= told
    assert {row[0] for row in run.rows("SELECT DISTINCT pool FROM process")} == {"php", "nginx"}
    assert stack.secret not in (run.directory / "report.json").read_text()


def test_a_worker_of_php_in_a_container_takes_orders(tmp_path: Path) -> None:
    """A script that lives long is asked by a signal, from outside, and answers into the mounted directory."""
    agent, jobs = tmp_path / "agent", tmp_path / "jobs"
    jobs.mkdir()
    command = [sys.executable, "-m", "harness", "agent", str(agent), "--inside", "/harness", "--runtime", "php"]
    subprocess.run(command, check=True)
    (tmp_path / "worker.php").write_text(
        "<?php\n$kept = [];\n"
        "while (true) {\n"
        "    foreach (glob('/srv/jobs/*.job') as $job) {\n"
        "        $kept[] = str_repeat($job[0], 20000);\n"
        "        unlink($job);\n"
        "    }\n"
        "    usleep(20000);\n"
        "}\n"
    )
    feed = tmp_path / "feed"
    feed.write_text(
        "#!/bin/sh\nfor n in $(seq 50); do : >jobs/$n.job; done\nwhile ls jobs/*.job >/dev/null 2>&1; do sleep 0.05; done\n"
    )
    feed.chmod(0o755)
    options = (
        "--entrypoint", "php", "-v", f"{agent}:/harness", "--env-file", str(agent / "agent.env"), "-v", f"{tmp_path}:/srv",
    )  # fmt: skip
    with container("php", options, ("/srv/worker.php",)) as name:
        (tmp_path / SCENARIO).write_text(
            f"name: worker\ntarget: {{runtime: php, container: {{name: {name}, agent: agent}}, php: {{floors: collect}}}}\n"
            "load: {each_round: ./feed, settle: 300ms}\n"
        )
        with harness("run", SCENARIO, cwd=tmp_path) as running:
            run = Run(running)
        assert "Warning" not in logs(name)
        pid = first_pid(name)
    assert run.report["verdict"]["cause"] == "leak.objects"
    told = run.rows(
        "SELECT DISTINCT pid FROM series JOIN process ON process.id = process_id WHERE metric = 'agent.php.heap.size'"
    )
    assert told == [(pid,)]
    costs = json.loads(run.rows("SELECT value FROM meta WHERE key = 'costs'")[0][0])
    assert costs["agent_floors_asked"] == costs["agent_floors_answered"] > 8


# --- engines and connectors -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with container("gunicorn", ("--memory", "96m", "-e", f"LISTEN=127.0.0.1:{free_port()}")) as name:
        yield name


def accepts(path: Path) -> bool:
    """Its file is there a moment before anybody listens."""
    with sockets.socket(sockets.AF_UNIX) as ours:
        return ours.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Podman's service, which speaks Docker's API."""
    path = tmp_path_factory.mktemp("service") / "api.sock"
    process = subprocess.Popen([*ENGINE, "system", "service", "--time", "0", f"unix://{path}"])
    try:
        wait_for(lambda: accepts(path), "podman's socket")
        yield str(path)
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(params=["socket", "command"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "socket":
        return ApiEngine(request.getfixturevalue("socket"))
    path = shutil.which("podman")
    assert path is not None
    return CommandEngine(path)


def test_an_engine_by_socket_or_command(engine: Engine, target: str) -> None:
    state = parse_inspect(engine.inspect(target))
    assert state.running
    assert (state.name, state.memory_bytes) == (target, 96 << 20)
    assert "harness-gunicorn" in state.image
    life = life_of(state)
    assert life is not None
    assert is_here(life)
    assert inside_pid(life.pid) == 1
    with pytest.raises(NoSuchContainerError):
        engine.inspect("no-such-container")


def test_the_socket_that_the_user_names_is_asked_first(socket: str, target: str) -> None:
    found, state = find(target, engines({**os.environ, "DOCKER_HOST": f"unix://{socket}"}))
    assert found == ApiEngine(socket)
    assert state.id == inspect(target)["Id"]


def test_a_connector_into_a_container(engine: Engine, target: str) -> None:
    connector = ContainerConnector(engine, target, os.environ, user="0")
    words = ["a b", "$HOME", "'", '"', "*", "\n", "ä"]
    assert connector.run(["python3", "-c", "import sys; print(sys.argv[1:])", *words]).output.decode() == f"{words}\n"
    done = connector.run(["sh", "-c", "cat; echo no >&2; exit 7"], stdin=b"\0\xff" * 200_000)
    assert (done.code, done.output, done.complaints) == (7, b"\0\xff" * 200_000, b"no\n")
    assert len(connector.run(["head", "-c", "3000000", "/dev/zero"], cap_bytes=1000).output) == 1000
    path = PurePosixPath(f"/tmp/{secrets.token_hex(4)} a file")
    connector.put(b"\0one", path)
    assert connector.get(path, 4) == b"\0one"
    assert connector.run(["stat", "-c", "%a", str(path)]).output == b"600\n"
    with pytest.raises(TargetError, match="exists"):
        connector.put(b"two", path)
    with pytest.raises(FileTooLong):
        connector.get(path, 3)
    for nothing in ("/tmp/nothing", "/tmp", "/dev/null"):
        assert connector.get(PurePosixPath(nothing), 1000) is None
    for wrong in ("etc/passwd", "/tmp/../etc/passwd", "/"):
        with pytest.raises(TargetError, match="no exact path"):
            connector.get(PurePosixPath(wrong), 1000)
    with pytest.raises(TargetError, match="no-such-container"):
        ContainerConnector(engine, "no-such-container", os.environ).run(["true"])


def test_a_command_line_for_pipes(target: str) -> None:
    path = shutil.which("podman")
    assert path is not None
    line = ContainerConnector(CommandEngine(path), target, os.environ).command(["cat"])
    assert subprocess.run(line, input=b"through", capture_output=True, check=True, timeout=60).stdout == b"through"


# --- the other images -----------------------------------------------------------------------------------------------


def test_compose_reads_its_file() -> None:
    """The one of Debian, which is older than what users have. Without secrets, for one of the stacks needs none."""
    env = {name: value for name, value in os.environ.items() if name not in ("XDEBUG_SECRET", "AUTHORIZED_KEY")}
    command = ["docker-compose", "-f", DOCKER / "compose.yml", "config"]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    web = yaml.safe_load(done.stdout)["services"]["web"]
    assert (web["container_name"], web["ports"]) == ("harness-staging-web", ["127.0.0.1:8000:8000/tcp"])


def test_the_sshd_target_lets_the_key_in(tmp_path: Path) -> None:
    key, port = tmp_path / "key", free_port()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    options = ("-e", f"AUTHORIZED_KEY={public}", "-e", f"SSH_PORT={port}", "-e", "SSH_ADDRESS=127.0.0.1")
    with container("sshd", options) as name:
        wait_for(lambda: "Server listening" in logs(name), "sshd")
        host_key = next(line for line in logs(name).splitlines() if line.startswith("ssh-ed25519 "))
        (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {' '.join(host_key.split()[:2])}\n")
        done = subprocess.run(
            [
                "ssh", "-F", "/dev/null", "-i", str(key), "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=yes", "-p", str(port), "deploy@127.0.0.1", "python3 -c 'print(6 * 7)'",
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout == "42\n", done.stderr
