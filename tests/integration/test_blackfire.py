"""Blackfire's genuine Python probe against our receiver: as a tool of the adapter, and in the vendor's own middlewares.

The probe comes from the package index into clean environments; nothing of it is patched and nothing leaves this machine.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from processes import free_port, wait_for
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, TOKEN, Service, Services, start_companion, stop_companion
from pythons import pythons

from adapters.blackfire import companion
from adapters.blackfire.query import DEFAULT_ARGUMENTS
from adapters.formats import blackfire_profile
from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus, Profile
from harness.model.span import ToolRecord
from harness.plugins.spec import Trigger
from harness.store.reader import read_run

pytestmark = pytest.mark.integration

Item = TypeVar("Item")
APPS = str(PROGRAMS / "blackfire_apps.py")
LEAK_BYTES = 1000 * 1024
SUPPORTED = {version: program for version, program in pythons().items() if not version.startswith("3.8")}
every_python = pytest.mark.parametrize("python", SUPPORTED.values(), ids=SUPPORTED.keys())
WEB = {"plain": (), "flask": ("flask",), "django": ("django",)}


def newest() -> str:
    """Of those the frameworks' wheels are there for."""
    return SUPPORTED[max(SUPPORTED, key=lambda v: tuple(map(int, re.findall(r"\d+", v)[:3])))]


def value(profile: Profile, function: str, kind: str) -> int:
    [column] = [n for n, v in enumerate(profile.value_types) if v.name == kind]
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == function]
    return found.inclusive_values[column]


def check(profile: Profile, *, leaks: bool = True, curve: bool = True) -> None:
    """What `blackfire_work` does must be in the numbers."""
    assert profile.complete, profile.notes
    peak, kept = profile.totals["peak_bytes"], profile.totals["kept_bytes"]
    assert peak is not None
    assert kept is not None
    assert value(profile, "blackfire_work.transient", "memory_held") < 64 * 1024
    assert value(profile, "blackfire_work.transient", "peak_raised") > 4_000_000
    assert peak > 4_000_000
    if leaks:
        assert value(profile, "blackfire_work.leak", "memory_held") == pytest.approx(LEAK_BYTES, rel=0.15)
        assert kept > LEAK_BYTES
    else:
        assert kept < LEAK_BYTES
    assert value(profile, "main()", "time") == profile.totals["time_ns"]
    if curve:
        offsets = [point.offset_ns for point in profile.curve]
        assert offsets == sorted(offsets)
        top = max(point.bytes for point in profile.curve)
        assert peak * 0.9 < top <= peak
        after = next(p for p in profile.curve if p.label == "leaving blackfire_work.transient")
        assert after.bytes < top / 4


def serve(services: Services, python: str, kind: str = "plain", **env: str) -> Service:
    program = environment(python, *WEB[kind])
    return services.serve([program, APPS, kind], tools=("blackfire",), **env)


# --- the tool --------------------------------------------------------------------------------------------------------


@every_python
def test_a_wsgi_request(services: Services, python: str) -> None:
    service = serve(services, python)
    before = time.monotonic_ns()
    response, artifact, profile = service.measure("blackfire", "/report")
    assert (response.status_code, response.text) == (200, "ok")
    assert not [name for name in response.headers if "blackfire" in name]
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    assert artifact.path == f"python-blackfire-{artifact.span_id}.bf"
    assert artifact.attributes["alone"] == 1
    assert profile is not None
    check(profile)
    start, end = artifact.attributes["session_start_ns"], artifact.attributes["session_end_ns"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert before < start < start + profile.curve[-1].offset_ns < end < time.monotonic_ns()
    body = (service.context.work_dir / "artifacts" / artifact.path).read_bytes()
    assert body.startswith(b"file-format: BlackfireProbe\n")
    assert b"context: redacted\n" in body
    # an error of the application, and that nothing of the monitoring was loaded
    response, artifact, profile = service.measure("blackfire", "/boom")
    assert (response.status_code, artifact.status) == (500, ArtifactStatus.COMPLETE)
    assert profile is not None
    check(profile, leaks=False)
    loaded = service.get("/modules").text.split()
    assert "blackfire.probe" in loaded
    assert "blackfire.apm" not in loaded


@pytest.mark.parametrize("kind", ["flask", "django"])
def test_frameworks(services: Services, kind: str) -> None:
    service = serve(services, newest(), kind)
    for path, status in (("/report", 200), ("/boom", 500)):
        response, artifact, profile = service.measure("blackfire", path)
        assert response.status_code == status
        assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
        assert profile is not None
        check(profile, leaks=status == 200)


def test_fastapi_on_the_loop_and_in_the_thread_pool(services: Services) -> None:
    python = environment(newest(), "fastapi", "uvicorn")
    argv = [python, "-m", "uvicorn", "blackfire_fastapi:app", "--port", "0"]
    service = services.serve(argv, tools=("blackfire",))
    for path in ("/async", "/sync"):
        response, artifact, profile = service.measure("blackfire", path)
        assert (response.status_code, response.text) == (200, "ok")
        assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
        assert profile is not None
        check(profile, curve=False)
        assert profile.curve == ()


def test_forked_workers_each_make_profiles(services: Services) -> None:
    program = environment(newest(), "gunicorn")
    service = services.gunicorn("blackfire_apps:plain", "-w", "2", "--preload", python=program, tools=("blackfire",))
    pids = set()
    for _ in range(4):
        service.http.close()
        service.http = type(service.http)(timeout=DEADLINE_S, base_url=service.http.base_url)
        _, artifact, profile = service.measure("blackfire", "/report")
        assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
        assert profile is not None
        assert value(profile, "blackfire_work.leak", "memory_held") == pytest.approx(LEAK_BYTES, rel=0.15)
        pids.add(artifact.pid)
    assert service.process.pid not in pids


def refused(service: Service, trigger: Trigger, path: str = "/report") -> str:
    """A triggered request that the application answers, and that gives no profile; the reason."""

    def told() -> list[ToolRecord]:
        return [r for r in service.records() if isinstance(r, ToolRecord) and r.tool == "blackfire"]

    before = len(told())
    response = service.get(path, trigger.headers)
    assert response.status_code == 200
    wait_for(lambda: len(told()) > before, "what the tool says")
    record = told()[-1]
    assert record.file is None
    return record.error or ""


def test_a_used_an_old_and_a_forged_query_leave_the_request_as_it_is(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(services, newest())
    used = ADAPTER.trigger(service.context, "blackfire")
    assert service.get("/report", used.headers).status_code == 200
    assert "the query was used before" in refused(service, used)
    with monkeypatch.context() as past:
        past.setattr(companion, "_VALID_S", -10)
        assert "the query has expired" in refused(service, ADAPTER.trigger(service.context, "blackfire"))
    [(name, text)] = ADAPTER.trigger(service.context, "blackfire").headers.items()
    forged = Trigger("blackfire", {name: text.replace("signature%3D", "signature%3DA")})
    assert "was not made by this run" in refused(service, forged)
    _, artifact, _ = service.measure("blackfire", "/report")
    assert artifact.status is ArtifactStatus.COMPLETE


def test_without_a_receiver_the_request_is_answered_and_the_reason_recorded(services: Services) -> None:
    service = serve(services, newest())
    assert service.measure("blackfire", "/report")[1].status is ArtifactStatus.COMPLETE
    stop_companion(service.companions.pop())
    assert "the Blackfire-compatible receiver cannot be reached" in refused(
        service, ADAPTER.trigger(service.context, "blackfire")
    )
    assert "blackfire.apm" not in service.get("/modules").text


def test_a_receiver_that_does_not_answer_delays_the_request_and_no_more(services: Services) -> None:
    service = serve(services, newest())
    trigger = ADAPTER.trigger(service.context, "blackfire")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and that is all
        _, address = companion.ask(service.context.work_dir, TOKEN)
        [(name, text)] = trigger.headers.items()
        ours, theirs = (f"{a.rpartition(':')[2]}" for a in (address, str(silent.getsockname()[1])))
        moved = Trigger("blackfire", {name: text.replace(f"%3A{ours}", f"%3A{theirs}")})
        assert "gave no profile" in refused(service, moved)
        assert "timed out" in refused(service, moved)


def test_an_application_that_traces_is_left_alone(services: Services) -> None:
    service = serve(services, newest())
    assert service.get("/trace").text == "tracing"
    assert "traces with tracemalloc" in refused(service, ADAPTER.trigger(service.context, "blackfire"))
    assert service.get("/tracing").text == "on"


def test_a_child_forked_meanwhile_sends_nothing_and_spoils_nothing(services: Services) -> None:
    service = serve(services, newest())
    response, artifact, profile = service.measure("blackfire", "/fork")
    assert response.text == "7 1"  # the child is not profiled, the parent is
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    assert profile is not None
    assert value(profile, "blackfire_work.leak", "memory_held") == pytest.approx(LEAK_BYTES, rel=0.15)


def test_what_the_probe_switches_off_is_on_again(services: Services) -> None:
    service = serve(services, newest(), PYTHONFAULTHANDLER="1")
    assert service.get("/faults").text == "on"
    _, artifact, _ = service.measure("blackfire", "/report")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert service.get("/faults").text == "on"
    other = serve(services, newest())
    other.measure("blackfire", "/report")
    assert other.get("/faults").text == "off"


def test_with_numpy_the_probe_traces_and_the_result_says_so(services: Services) -> None:
    service = services.serve([environment(newest(), "numpy"), APPS, "plain"], tools=("blackfire",))
    _, artifact, profile = service.measure("blackfire", "/report")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert "counted memory with tracemalloc" in artifact.detail
    assert profile is not None
    assert value(profile, "blackfire_work.leak", "memory_held") == pytest.approx(LEAK_BYTES, rel=0.15)
    assert service.get("/tracing").text == "off"


def test_python_3_8_is_told_why_not(services: Services) -> None:
    old = [program for version, program in pythons().items() if version.startswith("3.8")]
    if not old:
        pytest.fail("no Python 3.8 on this machine")
    service = services.serve([old[0], APPS, "plain"], tools=("blackfire",))
    response, artifact, _ = service.measure("blackfire", "/report")
    assert response.status_code == 200
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.detail == "Blackfire's probe needs Python 3.9 or newer, and this is 3.8"


def test_the_numbers_agree_with_tracemalloc_in_another_process(services: Services) -> None:
    service = serve(services, newest())
    _, _, ours = service.measure("blackfire", "/report")
    _, _, other = services.serve([newest(), APPS, "plain"]).measure("tracemalloc", "/report")
    assert ours is not None
    assert other is not None
    lines = [line.values[0] or 0 for line in other.lines if line.file.endswith("blackfire_work.py")]
    assert value(ours, "blackfire_work.leak", "memory_held") == pytest.approx(sum(lines), rel=0.05)


def test_a_whole_run(services: Services, tmp_path: Path) -> None:
    """The session starts the receiver for the profiled pass and asks for a query for every request, warm-up included."""
    program, port = environment(newest()), free_port()
    (tmp_path / "scenario.yaml").write_text(
        "name: probe\n"
        f"target: {{runtime: python, launch: '{program} {APPS} plain {port}', ready: 'http://127.0.0.1:{port}/tracing'}}\n"
        "requests: [{name: report, get: /report}, {name: idle, get: /tracing}]\n"
        "load: {rounds: 7, requests_per_round: 2, concurrency: 1, warmup_rounds: 1, blocks: 1, settle: 10ms}\n"
        "profile: [blackfire, tracemalloc]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "scenario.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(PROGRAMS)}, timeout=250,
    )  # fmt: skip
    directory = tmp_path / done.stdout.splitlines()[-1]
    report = json.loads((directory / "report.json").read_text())
    assert report["run"]["status"] == "complete", done.stderr
    found = {(p["tool"], p["endpoint"]): p for p in report["profiles"]}
    assert {key: p["status"] for key, p in found.items()} == {
        (tool, endpoint): "complete" for tool in ("blackfire", "tracemalloc") for endpoint in ("report", "idle")
    }, done.stderr
    [own] = [p for k, p in found.items() if k == ("blackfire", "report")]
    assert own["totals"]["kept_bytes"] > LEAK_BYTES
    check(ADAPTER.parse("blackfire", directory / own["path"]))
    assert read_run(directory).manifest.unmeasured_pools == ("blackfire-receiver",)
    pools = {p["name"]: p["measured"] for p in report["pools"]}
    assert not pools.pop("blackfire-receiver", False)  # it may have ended before the sampler saw it
    assert pools == {"app": True}


_TAKES_THE_ADDRESS = """
import glob, http.server, socket, sys
taken = socket.socket()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        for address in glob.glob("runs/*/work/blackfire/address"):
            if taken.getsockname()[1] == 0:
                taken.bind(("127.0.0.1", int(open(address).read().rpartition(":")[2])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_receiver_that_cannot_start_does_not_cost_the_run(tmp_path: Path) -> None:
    """Its address was free when the run began. Without an agent (-I) nothing is waited for."""
    port = free_port()
    (tmp_path / "app.py").write_text(_TAKES_THE_ADDRESS)
    (tmp_path / "scenario.yaml").write_text(
        "name: taken\n"
        f"target: {{runtime: python, launch: '{sys.executable} -I app.py {port}', ready: 'http://127.0.0.1:{port}/'}}\n"
        "requests: [{name: home, get: /}]\n"
        "load: {rounds: 7, requests_per_round: 2, concurrency: 1, warmup_rounds: 1, blocks: 1, settle: 10ms}\n"
        "profile: [blackfire]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "scenario.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=250,
    )  # fmt: skip
    report = json.loads((tmp_path / done.stdout.splitlines()[-1] / "report.json").read_text())
    assert report["run"]["status"] == "complete", done.stderr
    missing = {each["signal"]: each["reason"] for each in report["missing"]}
    assert "address already in use" in missing["profile.companion.blackfire-receiver"]
    assert "profile.blackfire.home" in missing


# --- the vendor's own middlewares, as somebody runs them who has Blackfire in the application --------------------------


@contextmanager
def receiver(directory: Path, *flags: str) -> Iterator[tuple[str, Path]]:
    """A receiver with wishes: its address, and where it puts what it received."""
    plan = companion.plan(directory, TOKEN)
    process = start_companion(plan.__class__(plan.name, (*plan.argv, *flags), plan.env))
    try:
        yield str(plan.ready), directory / "blackfire"
    finally:
        stop_companion(process)


@contextmanager
def instrumented(python: str, kind: str, address: str, **env: str) -> Iterator[int]:
    """One of the applications under ``blackfire-python``; its port."""
    command = [str(Path(python).with_name("blackfire-python")), python, APPS, kind]
    own = {**os.environ, "PYTHONPATH": str(PROGRAMS), "BLACKFIRE_AGENT_SOCKET": address, **env}
    process = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[1])
    finally:
        process.kill()
        process.communicate()


def fetch(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status, {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


QUIET = {"BLACKFIRE_APM_FORCE_DISABLE": "1"}
ALL = {**DEFAULT_ARGUMENTS, "flag_nw": "1", "flag_fn_args": "1", "flag_yml": "1"}


@pytest.mark.parametrize("kind", ["flask", "django"])
def test_middlewares_of_the_vendor(services: Services, tmp_path: Path, kind: str) -> None:
    python = environment(newest(), "blackfire", *WEB[kind])
    wishes = ("--fn-args", "blackfire_work.leak 1", "--const", "python_version")
    with receiver(tmp_path, *wishes) as (address, directory), instrumented(python, kind, address, **QUIET) as port:
        for path, status in (("/report", 200), ("/boom", 500)):
            query, _ = companion.ask(tmp_path, TOKEN, ALL)
            found, headers = fetch(port, path, {"X-Blackfire-Query": query.text})
            assert found == status
            if status == 200:
                assert headers["x-blackfire-response"].startswith("continue=false&progress=100")
            body = companion.received(tmp_path, query.request_id, 10).body
            assert f"framework: {kind}".encode() in body
            assert f"response-code: {status}".encode() in body
            assert b"controller-name: " in body
            assert b"constants: python_version=3." in body
            assert (b"blackfire_work.leak?1=1000//1 " in body) == (status == 200)
        again, headers = fetch(port, "/report", {"X-Blackfire-Query": query.text})
        assert again == 200
        assert "the query was used before" in headers["x-blackfire-error"]
        before = sorted(directory.iterdir())
        status, headers = fetch(port, "/report", {})
        assert status == 200
        assert not [name for name in headers if "blackfire" in name]
        assert sorted(directory.iterdir()) == before


def test_the_vendors_ping_and_yaml(services: Services, tmp_path: Path) -> None:
    python = environment(newest(), "blackfire", "flask")
    project = tmp_path / "project"
    project.mkdir()
    (project / ".blackfire.yaml").write_text("tests: {}\n")
    with receiver(tmp_path, "--ask-yaml") as (address, directory):
        program = (
            "import os, sys; os.chdir(sys.argv[1]); from blackfire import generate_config; from blackfire.probe import Probe;"
            "p = Probe(generate_config(query=sys.argv[2])); p.enable(); sum(range(9)); p.end()"
        )
        query, _ = companion.ask(tmp_path, TOKEN, ALL)
        env = {**os.environ, "BLACKFIRE_AGENT_SOCKET": address}
        subprocess.run([python, "-c", program, str(project), query.text], env=env, check=True, timeout=DEADLINE_S)
        assert companion.received(tmp_path, query.request_id, 10).problem == ""
        assert (directory / f"{query.request_id}.yaml").read_text() == "tests: {}\n"
        with instrumented(python, "flask", address, **QUIET) as port:
            ping, _ = companion.ask(tmp_path, TOKEN, {**ALL, "ping": "1"})
            assert fetch(port, "/report", {"X-Blackfire-Query": ping.text})[1]["x-blackfire-response"] == "pong"
        with pytest.raises(ValueError, match="no profile was sent"):
            companion.received(tmp_path, ping.request_id, 10)


def test_a_script_with_blackfire_query_in_its_environment(services: Services, tmp_path: Path) -> None:
    python = environment(newest(), "blackfire")
    with receiver(tmp_path) as (address, _):
        query, _ = companion.ask(tmp_path, TOKEN)
        env = {
            **os.environ,
            "PYTHONPATH": str(PROGRAMS),
            "BLACKFIRE_AGENT_SOCKET": address,
            "BLACKFIRE_QUERY": query.text,
        }
        command = [
            str(Path(python).with_name("blackfire-python")),
            python,
            "-c",
            "import blackfire_work as w; w.report()",
        ]
        subprocess.run(command, env=env, check=True, timeout=DEADLINE_S)
        profile = blackfire_profile.read(companion.received(tmp_path, query.request_id, 10).body)
        check(profile)


def test_sub_profiles_of_the_vendor(services: Services, tmp_path: Path) -> None:
    python = environment(newest(), "blackfire")
    program = (
        "import sys; from blackfire import generate_config, probe;"
        "probe.initialize(query=sys.argv[1]); probe.enable(); q = probe.generate_subprofile_query(); probe.end();"
        "p = probe.Probe(generate_config(query=q)); p.enable(); sum(range(9)); p.end(); print(q)"
    )
    with receiver(tmp_path) as (address, directory):
        query, _ = companion.ask(tmp_path, TOKEN)
        env = {**os.environ, "BLACKFIRE_AGENT_SOCKET": address}
        done = subprocess.run(
            [python, "-c", program, query.text], env=env, check=True, timeout=DEADLINE_S, capture_output=True, text=True
        )
        child = done.stdout.strip().rpartition("sub_profile=%3A")[2]
        assert companion.received(tmp_path, f"{query.request_id}-{child}", 10).problem == ""
        assert json.loads((directory / f"{query.request_id}-{child}.json").read_text())["sub_profile"] == f":{child}"


def test_monitoring_of_the_vendor_gives_a_point_a_request_and_profiles_key_pages(
    services: Services, tmp_path: Path
) -> None:
    python = environment(newest(), "blackfire", "flask")
    flags = ("--monitoring", "1.0", "--key-page", "GET =/report")
    with receiver(tmp_path, *flags) as (address, directory), instrumented(python, "flask", address) as port:
        for _ in range(5):
            assert fetch(port, "/tracing?token=hidden", {})[0] == 200
        points = _lines(directory / "monitoring.ndjson", 5)
        assert [(p["uri"], p["response-code"], p["method"]) for p in points] == [("/tracing", 200, "GET")] * 5
        assert all(5_000_000 < p["mu"] < 500_000_000 for p in points)
        assert "hidden" not in (directory / "monitoring.ndjson").read_text()
        assert not list(directory.glob("*.bf"))
        assert fetch(port, "/report", {})[0] == 200  # no header: the receiver wanted this page
        [about] = _wait(lambda: list(directory.glob("*.json")))
        body = about.with_suffix(".bf").read_bytes()
        assert b"controller-name: page" in body
        check(blackfire_profile.read(body))


def _lines(path: Path, count: int) -> list[dict[str, object]]:
    def enough() -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) >= count else []

    return [json.loads(line) for line in _wait(enough)]


def _wait(look: Callable[[], list[Item]]) -> list[Item]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        threading.Event().wait(0.02)
    raise AssertionError("it did not come")
