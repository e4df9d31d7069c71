"""Whole runs on other hosts: each with its own network and clock, and one that leaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kept import processes_with
from processes import harness, wait_for
from ssh_hosts import SshHost, SshHosts

from harness.correlate.build import correlate
from harness.model.run import RawRun, RunStatus
from harness.store.reader import read_run
from harness.targets.ready import probe

pytestmark = pytest.mark.integration
PROGRAMS = Path(__file__).parents[1] / "programs"
PORT = 8000
INTERVAL_NS = 200_000_000
CLOCKS_S = {"web-1": 1_000_000, "web-2": 0, "web-3": 55}


class Node:
    """A host with a server on it."""

    def __init__(self, host: SshHost) -> None:
        self.host = host
        self.url = f"http://{host.address}:{PORT}"
        words = [sys.executable, str(PROGRAMS / "plain_server.py"), str(PORT), host.name]
        self.server = host.spawn(words, env={**os.environ, "LISTEN": host.address})
        wait_for(lambda: probe(f"{self.url}/ok") is None, "the server")

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()


@pytest.fixture(scope="module")
def nodes(hosts: SshHosts) -> Iterator[dict[str, Node]]:
    made = {name: Node(hosts.add(name, ahead_s)) for name, ahead_s in CLOCKS_S.items()}
    yield made
    for node in made.values():
        node.stop()


def record(directory: Path, hosts: SshHosts, **scenario: object) -> RawRun:
    data = {"name": "elsewhere", "sample": {"interval": "200ms"}, **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory, env={"PATH": hosts.path}) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.status is RunStatus.COMPLETE
    return raw


def test_one_host_is_watched_as_if_it_were_this_one(hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path) -> None:
    node = nodes["web-1"]
    target = {"host": "ssh://root@web-1", "attach": {"port": PORT}, "url": node.url}
    load = {"rounds": 7, "requests_per_round": 40, "blocks": 2, "settle": "20ms"}
    raw = record(tmp_path, hosts, target=target, requests=[{"name": "ok", "get": "/ok"}], load=load)
    (host,) = raw.manifest.hosts
    assert (host.name, host.first, host.measured) == ("web-1", True, True)
    assert abs(host.offset_ns - node.host.ahead_ns) < 50_000_000
    assert {info.key.host for info in raw.processes} == {"web-1"}
    timeline = correlate(raw)
    assert timeline.hosts[0].error_ns is not None
    assert timeline.hosts[0].error_ns < 50_000_000
    assert {worker.info.pool for worker in timeline.workers} == {"web-1"}
    assert len({floor.round for floor in timeline.floors if floor.phase == "rounds"}) == 7
    begun = raw.manifest.started_ns
    assert raw.manifest.ended_ns
    for (_, process), series in timeline.series.items():
        if process is not None:
            assert begun - 1_000_000_000 < series.t_ns[0] <= series.t_ns[-1] < raw.manifest.ended_ns + 1_000_000_000
    assert ("system.meminfo.MemTotal", None) in timeline.series
    assert not list(node.host.temporary.iterdir())
    assert not list(processes_with(f"{node.host.temporary}"))


def test_a_program_is_started_there_and_nothing_of_it_is_left(
    hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path
) -> None:
    node = nodes["web-1"]
    mark = f"started-{os.getpid()}"
    command = f"sh -c 'echo hello from $(pwd); exec {sys.executable} {PROGRAMS}/plain_server.py 8001 {mark}'"
    address = f"http://{node.host.address}:8001"
    target = {"host": "ssh://root@web-1", "launch": command, "cwd": ".", "ready": f"{address}/ok",
              "env": {"LISTEN": node.host.address}}  # fmt: skip
    load = {"rounds": 7, "requests_per_round": 40, "blocks": 2, "settle": "20ms"}
    raw = record(tmp_path, hosts, target=target, requests=[{"name": "ok", "get": "/ok"}], load=load)
    assert all(span.status == 200 for span in raw.spans)
    assert {info.key.host for info in raw.processes} == {"web-1"}
    assert not list(processes_with(mark))
    assert not list(node.host.temporary.iterdir())
    (log,) = tmp_path.glob("runs/*/artifacts/target-app.log")
    assert log.read_text().startswith(f"hello from {Path.home()}")


def test_a_watch_of_another_host_needs_no_scenario(hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path) -> None:
    address = ("--host", "ssh://root@web-1")
    with harness("watch", str(PORT), *address, "--for", "4s", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.run_id.endswith("-watch-web-1")
    assert "web-1" in {process.pool for process in raw.processes}
    assert not list(nodes["web-1"].host.temporary.iterdir())


def test_a_program_that_cannot_be_started_there_says_why(
    hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path
) -> None:
    scenario = {"name": "x", "target": {"host": "ssh://root@web-1", "launch": "no-such-program", "url": "http://127.0.0.1:1"},
                "requests": [{"name": "ok", "get": "/ok"}]}  # fmt: skip
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        code, _, err = run.finish()
    assert code == 3
    assert "cannot start app: no-such-program: No such file or directory" in err
    assert not list(nodes["web-1"].host.temporary.iterdir())


def test_what_a_program_there_said_last_is_told_here(hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path) -> None:
    launch = "sh -c 'sleep 2; echo out of luck; exit 3'"
    scenario = {
        "name": "x",
        "target": {"host": "ssh://root@web-1", "launch": launch},
        "load": {"observe": "1m"},
    }
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        code, _, err = run.finish()
    assert code == 3
    assert "app ended with exit code 3 while it was needed\n  its last output:\nout of luck" in err
    assert not list(nodes["web-1"].host.temporary.iterdir())


def test_of_three_hosts_the_one_that_leaks_is_named(hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path) -> None:
    urls = [f"{node.url}/{'keep?n=20000' if name == 'web-2' else 'ok'}" for name, node in nodes.items()]
    command = " ".join([sys.executable, str(PROGRAMS / "ask_nodes.py"), "150", *urls])
    target = {"hosts": [{"host": f"ssh://root@{name}", "role": "web"} for name in nodes], "attach": {"port": PORT}}
    raw = record(tmp_path, hosts, target=target, load={"rounds": 8, "each_round": command})
    assert [host.name for host in raw.manifest.hosts] == ["web-1", "web-2", "web-3"]
    timeline = correlate(raw)
    pools = {worker.info.pool for worker in timeline.workers if worker.info.key.host}
    assert pools == set(nodes)
    for name in nodes:
        rounds = [
            f.round for f in timeline.floors if f.process.host == name and f.block is None and f.phase == "rounds"
        ]
        assert len(rounds) == len(set(rounds)) == 8
    (run,) = tmp_path.glob("runs/*")
    report = json.loads((run / "report.json").read_text())
    leaks = [finding["subject"]["pool"] for finding in report["findings"] if finding["cause"].startswith("leak")]
    assert leaks == ["web-2"]
    places = {m["signal"].partition(" on ")[2] for m in report["missing"] if m["signal"].startswith("process.events")}
    assert places == set(nodes), "what is missing says where, also on the host that is judged"
    (siblings,) = report["siblings"]
    assert siblings["differ"] == ["web-2"]
    assert siblings["blind"] == []
    assert siblings["text"].startswith("Of the 3 hosts of role web, only web-2 grows")
    (leak,) = (finding for finding in report["findings"] if finding["cause"].startswith("leak"))
    assert siblings["text"] in [evidence["text"] for evidence in leak["evidence"]]
    bundle = subprocess.run(
        [sys.executable, "-m", "harness", "bundle", run, "-o", tmp_path / "b"], check=True, capture_output=True
    )
    shown = subprocess.run(
        [sys.executable, "-m", "harness", "report", tmp_path / "b", "--format", "json"], check=True, capture_output=True
    )
    assert b"web-" not in bundle.stdout + shown.stdout
    assert json.loads(shown.stdout)["siblings"][0]["text"].startswith("Of the 3 hosts of role web, only host-")
    assert [host["name"] for host in report["hosts"]] == ["web-1", "web-2", "web-3"]
    assert all(0 < host["clock_error_s"] < 0.05 for host in report["hosts"])


def test_a_cable_that_is_pulled_in_mid_run_loses_nothing(
    hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path
) -> None:
    """Jobs go on here meanwhile; the floor of a round waits for the line, and the sweeps of the time without it arrive."""
    node = nodes["web-3"]
    script = tmp_path / "job"
    script.write_text(f"#!/bin/sh\nuntil [ -e {tmp_path}/pulled ]; do sleep 0.1; done\n")
    script.chmod(0o755)

    def pull() -> None:
        wait_for(lambda: list(tmp_path.glob("runs/*/artifacts/target-job.log")), "the first job")
        node.host.cut()
        try:
            (run,) = tmp_path.glob("runs/*")
            wait_for(lambda: any(event.kind == "host.down" for event in read_run(run).events), "the line to break")
            (tmp_path / "pulled").touch()
        finally:
            node.host.mend()

    pulling = threading.Thread(target=pull)
    pulling.start()
    raw = record(
        tmp_path,
        hosts,
        target={"host": "ssh://root@web-3", "attach": {"port": PORT}},
        load={"rounds": 7, "each_round": str(script)},
    )
    pulling.join()
    lines = [event for event in raw.events if event.kind in ("host.down", "host.up")]
    assert [event.kind for event in lines] == ["host.down", "host.up"]
    down, up = (event.t_ns for event in lines)
    missed, late = (raw.series[f"sampler.{name}", None] for name in ("missed", "late"))
    assert ((missed.t_ns > down) & (missed.t_ns < up)).sum() >= 20
    grid = missed.t_ns - late.values
    due = (grid - grid[0]) % INTERVAL_NS == 0  # floors lie between the points of the grid
    assert (np.diff(grid[due]) // INTERVAL_NS == missed.values[due][1:] + 1).all()
    assert len({floor.round for floor in correlate(raw).floors if floor.phase == "rounds"}) == 7
    assert not list(node.host.temporary.iterdir())


def _samples(node: Node) -> bool:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_with(f"{node.host.temporary}")]
    return any(line.endswith(b"harness.pyz\0sampler\0") for line in lines)


def test_a_killed_session_leaves_nothing_there(hosts: SshHosts, nodes: dict[str, Node], tmp_path: Path) -> None:
    """The process that holds the line sees that nobody speaks to it any more, and has everything there end."""
    node = nodes["web-1"]
    scenario = {
        "name": "x",
        "target": {"host": "ssh://root@web-1", "attach": {"port": PORT}},
        "load": {"observe": "10m"},
    }
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        wait_for(lambda: _samples(node), "the sampler there")
        run.process.kill()
        wait_for(lambda: not list(node.host.temporary.iterdir()), "the end of it there")
        wait_for(lambda: not list(processes_with(f"{node.host.temporary}")), "the end of its processes")


def test_a_host_without_python_is_watched_through_its_shell(hosts: SshHosts, tmp_path: Path) -> None:
    node = Node(hosts.add("bare-1", 777, python=False))
    try:
        urls = f"{node.url}/keep?n=20000"
        command = " ".join([sys.executable, str(PROGRAMS / "ask_nodes.py"), "150", urls])
        target = {"host": "ssh://root@bare-1", "attach": {"match": f"plain_server.py {PORT} bare-1"}}
        raw = record(tmp_path, hosts, target=target, load={"rounds": 8, "each_round": command})
    finally:
        node.stop()
    assert {info.key.host for info in raw.processes} == {"bare-1"}
    assert {"runtime", "process.fds", "sampler.cpu"} <= {missing.signal for missing in raw.missing}
    (host,) = correlate(raw).hosts
    assert abs(host.host.offset_ns - node.host.ahead_ns) < 100_000_000
    assert host.error_ns is not None
    assert 5_000_000 <= host.error_ns < 100_000_000
    (run,) = tmp_path.glob("runs/*")
    report = json.loads((run / "report.json").read_text())
    assert [f["cause"] for f in report["findings"] if f["cause"].startswith("leak")]
