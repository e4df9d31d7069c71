"""Whole runs that end well: every way in, every kind of load, and what is said when something is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import free_port, harness, wait_for

from harness.model.run import RawRun, RunStatus
from harness.model.span import PhaseName
from harness.store.reader import read_run
from harness.targets.ready import probe

pytestmark = pytest.mark.integration
SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"
NAME = f"servers-of-{os.getpid()}"  # nobody else has processes of this name
QUICK = {"rounds": 7, "requests_per_round": 40, "blocks": 2, "warmup_rounds": 1, "settle": "20ms"}


def record(directory: Path, env: dict[str, str] | None = None, **scenario: object) -> RawRun:
    """Run a scenario that must succeed; the run as recorded."""
    data = {"name": "session", "sample": {"interval": "100ms"}, **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory, env=env) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.status is RunStatus.COMPLETE
    return raw


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The plain server, started by somebody else."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(SERVER), str(port), NAME]) as process:
        try:
            wait_for(lambda: probe(f"http://127.0.0.1:{port}/ok") is None, "the server")
            yield process, port
        finally:
            process.kill()


@pytest.mark.parametrize("way", ["port", "pid", "match", "pidfile"])
def test_every_way_to_attach_leaves_the_target_alone(
    way: str, server: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, port = server
    (tmp_path / "server.pid").write_text(f"{process.pid}\n")
    attach = {"port": port, "pid": process.pid, "match": f"plain_server.py {port}", "pidfile": "server.pid"}[way]
    target = {"attach": {way: attach}, "url": f"http://127.0.0.1:{port}"}
    raw = record(tmp_path, target=target, requests=[{"name": "ok", "get": "/ok"}], load=QUICK)
    assert process.pid in {info.key.pid for info in raw.processes}
    assert len(raw.spans) == 8 * 40
    assert all(span.ok for span in raw.spans)
    assert process.poll() is None


def test_rounds_have_blocks_that_end_in_a_floor_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    target = {"launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok"}
    raw = record(tmp_path, target=target, requests=[{"name": "ok", "get": "/ok"}], load=QUICK)
    blocks = [w for w in raw.windows if w.phase is PhaseName.ROUNDS and w.block is not None]
    rounds = [w for w in raw.windows if w.phase is PhaseName.ROUNDS and w.block is None]
    assert [(w.round, w.block) for w in blocks] == [(r, b) for r in range(7) for b in range(2)]
    assert [w.round for w in rounds] == list(range(7))
    pss = next(s for (metric, _), s in raw.series.items() if metric == "process.memory.pss")
    assert {w.floor_ns for w in blocks} <= set(pss.t_ns.tolist())
    for block in blocks:
        inside = [
            s for s in raw.spans if s.phase is PhaseName.ROUNDS and (s.round, s.block) == (block.round, block.block)
        ]
        assert len(inside) in (10, 30), "half and one and a half of the mean"
        assert block.end_ns is not None
        assert block.floor_ns is not None
        assert max(s.end_ns for s in inside) <= block.end_ns <= block.floor_ns
    (idle,) = [w for w in raw.windows if w.phase is PhaseName.IDLE]
    last = max(w.floor_ns or 0 for w in rounds)
    assert last < idle.start_ns
    assert idle.end_ns is not None
    assert idle.end_ns - idle.start_ns >= 1_000_000_000
    assert idle.floor_ns in pss.t_ns.tolist()
    assert not [s for s in raw.spans if s.end_ns > last], "nothing was sent in it, nor after it"
    assert [w.phase for w in raw.windows if w.round is None] == [
        PhaseName.PREFLIGHT,
        PhaseName.LAUNCH,
        PhaseName.COOLDOWN,
    ]
    assert len(raw.anchors) >= 2


def test_arrival_rates_are_cut_into_windows_with_floors(tmp_path: Path) -> None:
    port = free_port()
    target = {"launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok"}
    load = [{"rate": "40/s", "for": "500ms", "warmup": True}, {"rate": "20/s..60/s", "for": "3s"}]
    raw = record(tmp_path, target=target, requests=[{"name": "ok", "get": "/ok"}], load=load)
    measured = [s for s in raw.spans if s.phase is PhaseName.ROUNDS]
    assert len(measured) == 120
    assert all(s.intended_ns is not None and s.latency_ns >= s.end_ns - s.start_ns for s in measured)
    windows = [w for w in raw.windows if w.phase is PhaseName.ROUNDS]
    assert len(windows) >= 3  # twelve, if floors take no time
    assert all(w.floor_ns is not None for w in windows)


def test_watching_only_sends_nothing(server: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    raw = record(tmp_path, target={"attach": {"pid": server[0].pid}}, load={"observe": "3s"})
    assert raw.spans == []
    assert len([w for w in raw.windows if w.phase is PhaseName.ROUNDS]) >= 3


def test_a_script_is_run_to_completion_once_a_round(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import time\ndata = bytearray(20_000_000)\nend = time.monotonic() + 0.4\nwhile time.monotonic() < end: data.count(0)\n"
    )
    command = f"{sys.executable} job.py"
    raw = record(
        tmp_path, target={"runtime": "python"}, load={"each_round": command, "rounds": 7}, profile=["tracemalloc"]
    )
    jobs = [s for s in raw.spans if s.phase is PhaseName.ROUNDS]
    assert [s.round for s in jobs] == list(range(7))
    assert all(s.ok and s.endpoint == "each_round" for s in jobs)
    assert len({info.key for info in raw.processes if info.pool == "job"}) >= 8
    assert [a.tool for a in raw.artifacts] == ["tracemalloc"]


def test_a_command_that_fails_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(
        json.dumps({"name": "x", "load": {"each_round": "sh -c 'echo broken >&2; exit 9'"}})
    )
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 3
    assert "exit code 9" in err
    assert "broken" in err


def test_an_agent_that_did_not_load_is_explained(tmp_path: Path) -> None:
    port = free_port()
    target = {
        "runtime": "python",
        "launch": f"{sys.executable} -I {SERVER} {port}",
        "ready": f"http://127.0.0.1:{port}/ok",
    }
    raw = record(tmp_path, target=target, requests=[{"name": "ok", "get": "/ok"}], load=QUICK, profile="none")
    said = {m.signal: m.reason for m in raw.missing}
    assert "-I" in said["agent.records"]


def test_a_missing_xdebug_is_one_clear_error_with_the_package_to_install(tmp_path: Path) -> None:
    """A php whose extensions are elsewhere, so that Xdebug cannot be loaded; everything else is there."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.php").write_text("<?php echo 'hello';")
    (tmp_path / "empty").mkdir()
    scenario = {
        "name": "no-xdebug",
        "target": {
            "runtime": "php",
            "launch": f"php -n -d extension_dir={tmp_path}/empty -S 127.0.0.1:{free_port()} -t public",
        },
        "requests": [{"name": "home", "get": "/"}],
        "profile": ["xdebug"],
    }
    scenario["target"]["url"] = "http://127.0.0.1:1"  # type: ignore[index]  # never reached
    (tmp_path / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 3, err
    assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    assert "Xdebug" in err
    assert "apt-get install" in err


def test_secrets_from_the_environment_are_sent_but_never_stored(tmp_path: Path) -> None:
    port = free_port()
    target = {"launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok"}
    requests = [{"name": "ok", "get": "/ok", "headers": {"Authorization": "Bearer ${API_KEY}"}}]
    secret = "s3cr3t-0123456789"
    raw = record(tmp_path, {"API_KEY": secret}, target=target, requests=requests, load=QUICK)
    for file in (tmp_path / "runs" / raw.manifest.run_id).rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_a_pool_attached_to_by_name_may_replace_its_processes(
    server: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    """As recycling workers do: the process seen first ends, another one of the name goes on."""
    _, port = server
    with subprocess.Popen([sys.executable, str(SERVER), str(free_port()), NAME]) as other:
        target = {"attach": {"match": NAME}, "url": f"http://127.0.0.1:{port}"}
        data = {
            "name": "x",
            "target": target,
            "requests": [{"name": "ok", "get": "/ok"}],
            "load": QUICK,
            "sample": {"interval": "100ms"},
        }
        (tmp_path / "scenario.yaml").write_text(json.dumps(data))
        with harness("run", "scenario.yaml", cwd=tmp_path) as run:
            run.read_until("rounds 1/7")
            other.kill()
            code, _, err = run.finish()
    assert code == 0, err


def test_only_the_owner_can_read_what_was_recorded(tmp_path: Path) -> None:
    raw = record(tmp_path, load={"each_round": "true", "rounds": 7, "settle": "10ms"})
    directory = tmp_path / "runs" / raw.manifest.run_id
    for name in ("run.sqlite", "report.html", "report.json", "artifacts"):
        assert (directory / name).stat().st_mode & 0o077 == 0, name


def test_nohup_survives_a_hang_up(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(
        json.dumps({"name": "x", "target": {"attach": {"pid": os.getpid()}}, "load": {"observe": "3s"}})
    )
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as nohup does it
    try:
        with harness("run", "scenario.yaml", cwd=tmp_path) as run:
            run.read_until("] run ")
            run.process.send_signal(signal.SIGHUP)
            code, _, err = run.finish()
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert code == 0, err
