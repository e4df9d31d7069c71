"""Applications that do what no application should: their answers stay right, the records stay whole, the run goes on."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from processes import free_port, harness, wait_for
from python_service import PROGRAMS, Service, Services, record_lines

from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus
from harness.model.run import RawRun, RunStatus
from harness.model.span import BootRecord, RequestRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import FloorDepth
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
PROGRAM = PROGRAMS / "python_hostile_app.py"

# What each act leaves possible: the tool's result, the records. All of them must leave the answers alone.
BOTH, RECORDS, NEITHER = "both", "records", "neither"
ACTS = {
    "patch_files": RECORDS,
    "patch_json": RECORDS,
    "patch_time": RECORDS,
    "freeze_time": BOTH,
    "patch_process": RECORDS,
    "break_output": BOTH,
    "close_everything": BOTH,
    "close_standard_streams": BOTH,
    "few_files": RECORDS,
    "no_growth_of_files": NEITHER,
    "block_signals": BOTH,
    "own_handler": BOTH,
    "forget_environment": RECORDS,
    "leave_directory": BOTH,
}


def hostile(services: Services, **env: str) -> Service:
    return services.serve([sys.executable, str(PROGRAM)], **env)


def whole(service: Service) -> list[RequestRecord]:
    """All records; every line must be one."""
    parsed = [parse_record(line) for line in record_lines(service.context)]
    assert None not in parsed
    return [record for record in parsed if isinstance(record, RequestRecord)]


@pytest.mark.parametrize("act", ACTS)
def test_the_answers_stay_right(services: Services, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if ACTS[act] is NEITHER:
        monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.5)
    service = hostile(services, ACT=act)
    for _ in range(5):
        assert service.get("/").text == "hello"
    response, artifact, profile = service.measure("tracemalloc", "/keep")
    assert (response.status_code, response.text) == (200, "kept")
    for _ in range(5):
        assert service.get("/").text == "hello"
    assert service.process.poll() is None
    if ACTS[act] is BOTH:
        assert artifact.status is ArtifactStatus.COMPLETE, artifact
        assert profile is not None
        assert abs((profile.lines[0].values[0] or 0) - 100_000) < 1000
    else:
        assert artifact.status is ArtifactStatus.MISSING
        assert artifact.detail
    if ACTS[act] is NEITHER:
        assert whole(service) == []
    else:
        records = service.requests(12)
        assert [r.name for r in records] == ["GET /"] * 5 + ["GET /keep"] * 2 + ["GET /"] * 5
        assert {r.status for r in records} == {200}
        assert all(r.values["in_flight_max"] == 1 for r in records)  # none is in flight for ever
    victim = Path(os.environ["VICTIM_FILE"])
    assert not victim.exists() or victim.read_bytes() == b""


@pytest.mark.parametrize("act", ["block_signals", "own_handler"])
def test_orders_that_do_not_arrive_do_no_harm(services: Services, act: str) -> None:
    service = hostile(services, ACT=act)
    before = int(service.get("/heard").text)
    ADAPTER.ask_floor(service.context, time.monotonic_ns(), FloorDepth.LOOK, [service.process.pid])
    wait_for(lambda: service.get("/").text == "hello", "an answer")
    after = int(service.get("/heard").text)
    assert after - before == (act == "own_handler")  # the signal is the application's then, and it gets it
    assert service.process.poll() is None


def test_a_process_that_is_killed_while_it_is_measured(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.5)
    service = services.gunicorn("python_hostile_app:application", "-w", "1")
    assert service.get("/").text == "hello"
    with pytest.raises(httpx.RemoteProtocolError):
        service.measure("tracemalloc", "/die", warmups=0)
    wait_for(lambda: len(boots(service)) == 3, "the next worker")  # the master, the first worker, the second
    assert service.get("/").text == "hello"
    assert [r.name for r in whole(service)] == ["GET /", "GET /"]
    _, artifact, _ = service.measure("tracemalloc", "/keep")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.attributes["alone"] == 1


def boots(service: Service) -> list[BootRecord]:
    return [record for record in map(parse_record, record_lines(service.context)) if isinstance(record, BootRecord)]


def test_a_measured_request_that_hangs_for_ever_holds_nobody_up_for_long(services: Services) -> None:
    service = hostile(services, THREADS="1")
    assert service.measure("tracemalloc", "/keep")[1].status is ArtifactStatus.COMPLETE
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(service.measure, "tracemalloc", "/deadlock", 0)
        before = len(whole(service))
        for _ in range(20):
            assert service.get("/").text == "hello"
        assert len(service.requests(before + 20)) == before + 20
        service.process.kill()
        with pytest.raises(httpx.TransportError):
            stuck.result()


def test_a_clock_that_stands_still_lets_nobody_wait_for_ever(services: Services) -> None:
    service = hostile(services, THREADS="1", ACT="freeze_time")
    service.measure("tracemalloc", "/keep")
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(service.http.get, "/deadlock")  # in flight for good
        wait_for(lambda: service.get("/") and whole(service)[-1].values["in_flight_max"] == 2, "two at a time")
        response, artifact, _ = service.measure("tracemalloc", "/keep", warmups=0)
        assert response.text == "kept"
        assert artifact.attributes["alone"] == 0
        service.process.kill()
        with pytest.raises(httpx.TransportError):
            stuck.result()


def test_a_storm_of_processes(services: Services) -> None:
    service = hostile(services)
    assert service.get("/bomb").text == "survived"
    _, artifact, _ = service.measure("tracemalloc", "/keep")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert [r.name for r in whole(service)] == ["GET /bomb", "GET /keep", "GET /keep"]
    announced = [record.pid for record in boots(service)]
    assert len(announced) == 251
    assert len({record.ppid for record in boots(service)} - {os.getpid()}) == 1


def test_a_storm_of_processes_in_a_measured_request(services: Services) -> None:
    service = hostile(services)
    response, artifact, _ = service.measure("tracemalloc", "/bomb", warmups=0)
    assert response.text == "survived"
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.pid == service.process.pid


def test_megabytes_of_output(services: Services) -> None:
    service = hostile(services)
    for _ in range(4):
        assert service.get("/flood").text == "printed"
    assert len(service.requests(4)) == 4
    assert (service.context.work_dir / "target.log").stat().st_size > 20_000_000


def test_a_working_directory_that_goes_away_while_it_serves(services: Services) -> None:
    service = hostile(services)
    assert service.get("/leave").text == "left"
    _, artifact, profile = service.measure("tracemalloc", "/keep")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert profile is not None
    assert len(service.requests(3)) == 3


# --- whole runs ------------------------------------------------------------------------------------------------------

LOAD = {"rounds": 7, "requests_per_round": 20, "warmup_rounds": 1, "settle": "20ms"}


def run(directory: Path, scenario: dict[str, object], env: dict[str, str]) -> RawRun:
    (directory / "scenario.yaml").write_text(json.dumps({"sample": {"interval": "100ms"}, "load": LOAD, **scenario}))
    with harness("run", "scenario.yaml", cwd=directory, env=env) as running:
        code, out, err = running.finish()
        running.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.status is RunStatus.COMPLETE
    assert all(span.ok for span in raw.spans)
    return raw


def gunicorn(app: str, port: int, *flags: str) -> str:
    words = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-w", "2", "-b", f"127.0.0.1:{port}", *flags, app]
    return " ".join(words)


def count_requests(raw: RawRun) -> None:
    """One record for each request that was sent, and none twice."""
    sent = [span.span_id for span in raw.spans]
    recorded = [record.span_id for record in raw.records if record.span_id is not None]
    assert sorted(recorded) == sorted(sent)
    assert len(set(recorded)) == len(recorded)


def test_a_run_with_two_preloaded_workers(tmp_path: Path) -> None:
    port = free_port()
    scenario = {
        "name": "django",
        "target": {
            "runtime": "python",
            "launch": gunicorn("python_django_app:application", port, "--preload", "--chdir", str(PROGRAMS)),
            "ready": f"http://127.0.0.1:{port}/",
        },
        "requests": [
            {"name": "home", "get": "/"},
            {"name": "leak", "get": "/leak"},
            {"name": "stream", "get": "/stream"},
        ],
        "profile": {"tools": ["tracemalloc"], "endpoints": ["leak"]},
    }
    raw = run(tmp_path, scenario, {})
    count_requests(raw)
    assert len({record.pid for record in raw.records}) == 2
    [artifact] = raw.artifacts
    assert (artifact.status, artifact.attributes["alone"]) == (ArtifactStatus.COMPLETE, 1)


def test_a_run_of_an_application_that_does_its_worst(tmp_path: Path) -> None:
    """It prints megabytes, has no working directory, takes our signal for its own, and has no JSON and no output."""
    port = free_port()
    scenario = {
        "name": "hostile",
        "target": {
            "runtime": "python",
            "launch": gunicorn("python_hostile_app:application", port, "--pythonpath", str(PROGRAMS)),
            "ready": f"http://127.0.0.1:{port}/",
        },
        "requests": [
            {"name": "home", "get": "/"},
            {"name": "keep", "get": "/keep"},
            {"name": "flood", "get": "/flood"},
        ],
        "profile": {"tools": ["tracemalloc"], "endpoints": ["keep"]},
    }
    acts = "leave_directory,own_handler,patch_json,break_output"
    raw = run(tmp_path, scenario, {"ACT": acts, "FLOOD_LINES": "300"})
    count_requests(raw)
    [artifact] = raw.artifacts
    assert artifact.status is ArtifactStatus.MISSING
    assert "patched by the application" in artifact.detail
