"""Agents in processes of other hosts: launched with one, placed before the start, on two at once, over a line that breaks."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept import processes_with
from processes import harness
from ssh_hosts import SshHost, SshHosts

from harness.correlate.build import correlate
from harness.model.run import RawRun, RunStatus
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
APP = Path(__file__).parents[2] / "docker" / "gunicorn"
GUNICORN = f"{sys.executable} -m gunicorn --chdir {APP} --workers 2 app:application"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    made = SshHosts(tmp_path_factory.mktemp("hosts"))
    yield made
    made.stop()


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
    assert "agent_floors_answered" in run.raw.manifest.costs
    assert run.raw.manifest.costs["agent_floors_asked"] == run.raw.manifest.costs["agent_floors_answered"]
    assert not list(host.temporary.iterdir())
    assert not list(processes_with(f"{host.temporary}"))
