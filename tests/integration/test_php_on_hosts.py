"""PHP on another host: php-fpm with the agent that was placed there, and a second master whose profiles are fetched."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import harness, wait_for
from ssh_hosts import SshHost, SshHosts

from adapters.php.installed import find_fpm, inspect_php
from harness.correlate.build import correlate
from harness.model.run import RawRun
from harness.model.span import PhaseName
from harness.store.reader import read_run
from harness.targets.ready import probe

pytestmark = pytest.mark.integration
DOCKER = Path(__file__).parents[2] / "docker"
REQUESTS = [{"name": "home", "get": "/"}, {"name": "keep", "get": "/keep"}]
LOAD = {"rounds": 7, "requests_per_round": 100, "concurrency": 2, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def host(hosts: SshHosts) -> SshHost:
    return hosts.add("web-1", 1_000_000)


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """A directory that the account of the pools can pass through."""
    directory = Path(tempfile.mkdtemp(prefix="harness-php-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


class Stack:
    """What docker/ has in three containers, on a host."""

    def __init__(self, host: SshHost, here: Path, agent: Path, variables: dict[str, str]) -> None:
        self.agent = agent
        self.secret = secrets.token_hex(16)
        self.address = f"{host.address}:8080"
        self.output = here / "out"
        self._here = here
        fpm = find_fpm()
        assert fpm is not None, "apt-get install php-fpm"
        (here / "run").mkdir()
        for directory in (here / "run", self.output):
            directory.mkdir(exist_ok=True)
            shutil.chown(directory, "www-data", "www-data")
        shutil.copy(DOCKER / "php" / "index.php", here / "index.php")
        (here / "ini").mkdir()
        (here / "ini" / "harness-xdebug.ini").write_text(
            f"{'' if inspect_php([fpm]).xdebug else 'zend_extension = xdebug'}\n"
            "xdebug.mode = profile\nxdebug.start_with_request = trigger\nxdebug.use_compression = 0\nxdebug.log_level = 0\n"
            f"xdebug.output_dir = {self.output}\nxdebug.profiler_output_name = 'cachegrind.out.%p.%u.%r.%U'\n"
            f"xdebug.trigger_value = {self.secret}\n"
        )
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        xdebug = {**plain, "PHP_INI_SCAN_DIR": f":{here}/ini"}
        nginx = ["nginx", "-e", f"{here}/nginx.log", "-g", "daemon off;", "-c", self._copy("nginx/nginx.conf")]
        self._running = [
            host.spawn([fpm, "-F", "-y", self._copy("php/www.conf")], env={**plain, "XDEBUG_MODE": "off", **variables}),
            host.spawn([fpm, "-F", "-y", self._copy("php/xdebug.conf")], env=xdebug),
            host.spawn(nginx, env=plain),
        ]
        wait_for(lambda: probe(f"http://{self.address}/") is None, "the stack")

    def _copy(self, name: str) -> str:
        text = (DOCKER / name).read_text()
        changes = {
            "/run/php": f"{self._here}/run", "/var/lib/harness-xdebug": str(self.output), "/srv": str(self._here),
            "/dev/stderr": f"{self._here}/log", "/run/nginx.pid": f"{self._here}/nginx.pid", "@LISTEN@": self.address,
            "@SECRET@": self.secret, "include fastcgi_params": "include /etc/nginx/fastcgi_params",
        }  # fmt: skip
        for before, after in changes.items():
            text = text.replace(before, after)
        path = self._here / Path(name).name
        path.write_text(text)
        return str(path)

    def stop(self) -> None:
        for process in self._running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def stack(hosts: SshHosts, host: SshHost, here: Path) -> Iterator[Stack]:
    agent = here / "agent"
    words = [sys.executable, "-m", "harness", "agent", "--runtime", "php", f"ssh://root@web-1{agent}"]
    subprocess.run(words, check=True, env={**os.environ, "PATH": hosts.path}, capture_output=True)
    variables = dict(line.split("=", 1) for line in (agent / "agent.env").read_text().splitlines())
    made = Stack(host, here, agent, variables)
    yield made
    made.stop()


def record(directory: Path, hosts: SshHosts, secret: str, **scenario: object) -> tuple[RawRun, dict[str, Any], Path]:
    data = {"name": "php", "requests": REQUESTS, "load": LOAD, **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    environment = {"PATH": hosts.path, "XDEBUG_SECRET": secret}
    with harness("run", "scenario.yaml", cwd=directory, env=environment) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    found = Path(out.splitlines()[-1])
    return read_run(found), json.loads((found / "report.json").read_text()), found


def test_php_fpm_of_another_host_with_records_and_profiles(
    hosts: SshHosts, host: SshHost, stack: Stack, tmp_path: Path
) -> None:
    """Its clock is a million seconds ahead; the line that keeps something is named from a profile that is fetched from there."""
    target = {
        "runtime": "php", "url": f"http://{stack.address}",
        "host": {"host": "ssh://root@web-1", "agent": str(stack.agent), "attach": {"match": "php-fpm: "}},
        "php": {"xdebug": {"secret": "${XDEBUG_SECRET}", "output_dir": str(stack.output)},
                "fpm": {"access_log": "/var/log/of-that-host.log"}},
    }  # fmt: skip
    raw, report, directory = record(tmp_path, hosts, stack.secret, target=target)
    with harness(
        "doctor", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path, "XDEBUG_SECRET": stack.secret}
    ) as run:
        code, said, err = run.finish()
    assert code == 0, said + err
    assert f"of three requests to http://{stack.address}/" in said, said
    [finding] = [f for f in report["findings"] if f["cause"] == "descriptors"]
    subject = finding["subject"]
    assert (subject["host"], subject["endpoint"]) == ("web-1", "keep")
    assert (Path(subject["location"]["file"]).name, subject["location"]["function"]) == ("index.php", "send_statistics")
    assert {each.host for each in raw.records} == {"web-1"}
    costs = raw.manifest.costs
    assert 0 < (costs["agent_us_per_request"] or 0) < 10_000, "one of 31 of 800 requests is timed"
    assert 0 < (costs["keeper_cpu_percent.web-1"] or 0) < 100
    joined = correlate(raw).spans
    workers = {(j.worker.host, j.method.value) for j in joined if j.worker is not None}
    assert {host for host, _ in workers} == {"web-1"}
    assert len([j for j in joined if j.worker is None]) <= 4, "only what is thrown away before a profile has no worker"
    profiled = [a for a in raw.artifacts if a.path is not None]
    assert {a.endpoint for a in profiled} == {"home", "keep"}
    pids = {info.key.pid for info in raw.processes if info.key.host == "web-1"}
    assert {a.pid for a in profiled} <= pids
    assert {a.attributes["host"] for a in profiled} == {"web-1"}
    assert "not followed" in {m.signal: m.reason for m in raw.missing}["log.records"]
    assert not list(stack.output.glob("cachegrind*"))
    assert not list(host.temporary.iterdir())
    assert stack.secret not in (directory / "report.json").read_text()


def test_without_an_agent_there_the_status_page_and_profiles_tell(
    hosts: SshHosts, host: SshHost, stack: Stack, tmp_path: Path
) -> None:
    """Both come over the network; whatever else would need somebody there is missing, and it says so."""
    target = {
        "runtime": "php", "url": f"http://{stack.address}", "host": "ssh://root@web-1", "attach": {"match": "php-fpm: "},
        "php": {"xdebug": {"secret": "${XDEBUG_SECRET}", "output_dir": str(stack.output)},
                "fpm": {"status": f"http://{stack.address}/.harness/status"}},
    }  # fmt: skip
    load = {"rounds": 7, "requests_per_round": 10}
    raw, _, directory = record(tmp_path, hosts, stack.secret, target=target, load=load, profile=["xdebug"])
    missing = {m.signal: m.reason for m in raw.missing}
    assert missing["agent.web-1"] == "no agent was placed on this host"
    assert "only on its machine" in missing["agent.php.shared"]
    assert not raw.records
    assert {a.endpoint for a in raw.artifacts if a.path is not None} == {"home", "keep"}
    joined = [j for j in correlate(raw).spans if j.worker is not None]
    assert {j.method.value for j in joined} == {"profile-file"}
    with sqlite3.connect(directory / "run.sqlite") as db:
        told = db.execute(
            "SELECT DISTINCT host, cmdline FROM series JOIN process ON process.id = process_id "
            "WHERE metric = 'agent.php.fpm.requests'"
        ).fetchall()
    assert told == [("web-1", "php-fpm: pool www")]


def test_php_that_is_started_there_gets_the_agent(hosts: SshHosts, host: SshHost, tmp_path: Path) -> None:
    """Its own ini file comes along and goes again; without an Xdebug there the report says what to deploy."""
    url = f"http://{host.address}:8090"
    target = {"runtime": "php", "host": "ssh://root@web-1", "ready": f"{url}/",
              "launch": f"php -S {host.address}:8090 -t {DOCKER / 'php'}"}  # fmt: skip
    raw, report, _ = record(tmp_path, hosts, "", target=target)
    [finding] = [f for f in report["findings"] if f["cause"] == "descriptors"]
    assert (finding["subject"]["host"], finding["subject"]["endpoint"]) == ("web-1", "keep")
    timeline = correlate(raw)
    assert {(j.worker and j.worker.host, j.method.value) for j in timeline.spans} == {("web-1", "span-id")}
    begun, ended = raw.manifest.started_ns, raw.manifest.ended_ns
    assert ended
    assert all(begun <= (each.start_ns or 0) <= ended for each in raw.records)
    [reason] = [m.reason for m in raw.missing if m.signal == "php.xdebug"]
    assert "name it in target.php.xdebug" in reason, "said once, with what to do"
    assert not [m.signal for m in raw.missing if m.signal.startswith("profile")]
    assert not [span for span in raw.spans if span.phase is PhaseName.PROFILED], "none was sent in vain"
    assert not list(host.temporary.iterdir())
