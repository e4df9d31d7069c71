"""``profile: auto`` on real servers: the session judges its own rounds, profiles what it suspects; the report ends at a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import free_port, harness

from harness.model.event import PROFILE_PLAN
from harness.model.run import RawRun
from harness.model.span import PhaseName
from harness.store.reader import read_run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROGRAMS = Path(__file__).parents[1] / "programs"
KEEPS = PROGRAMS / "python_keeps_app.py"
LOAD = {"rounds": 8, "requests_per_round": 240, "concurrency": 2, "warmup_rounds": 2, "blocks": 4}


def run(directory: Path, **scenario: object) -> tuple[RawRun, dict[str, Any]]:
    """The run as recorded, and its JSON report."""
    (directory / "scenario.yaml").write_text(json.dumps({"name": "auto", **scenario}))
    with harness("run", "scenario.yaml", cwd=directory) as process:
        code, out, err = process.finish()
        process.assert_nothing_left()
    assert code == 0, err
    found = Path(out.splitlines()[-1])
    report: dict[str, Any] = json.loads((found / "report.json").read_text())
    return read_run(found), report


def python(directory: Path, page: str, **env: str) -> tuple[RawRun, dict[str, Any]]:
    """The application behind gunicorn, one page of which keeps something."""
    port = free_port()
    launch = f"{sys.executable} -m gunicorn python_keeps_app:app -w 2 -b 127.0.0.1:{port} --no-control-socket"
    pages = [("home", "/", 2), ("about", "/about", 2), *([(page, f"/{page}", 1)] if page else [])]
    return run(
        directory,
        target={
            "runtime": "python", "cwd": str(PROGRAMS), "launch": launch, "env": env, "ready": f"http://127.0.0.1:{port}/"
        },
        requests=[{"name": name, "get": path, "weight": weight} for name, path, weight in pages],
        load=LOAD,
    )  # fmt: skip


def marked(name: str) -> int:
    """The line of the application that keeps it."""
    [number] = [n for n, text in enumerate(KEEPS.read_text().splitlines(), 1) if text.endswith(f"# keeps: {name}")]
    return number


def place(finding: dict[str, Any]) -> tuple[str, int]:
    location = finding["subject"]["location"]
    assert location is not None, finding["evidence"]
    return Path(location["file"]).name, location["line"]


def evidence(finding: dict[str, Any], signal: str) -> str:
    return next((str(e["text"]) for e in finding["evidence"] if e["signal"] == signal), "")


def test_a_leak_of_objects_ends_at_its_line_and_its_holder(tmp_path: Path) -> None:
    raw, report = python(tmp_path, "objects")
    finding = report["findings"][0]
    assert finding["cause"] == "leak.objects"
    assert place(finding) == (KEEPS.name, marked("objects"))
    assert finding["subject"]["location"]["function"] == "python_keeps_app:Order.__init__"
    assert f"python_keeps_app.py:{marked('objects')}" in report["verdict"]["summary"]
    assert "module python_keeps_app KEPT" in evidence(finding, "profile.holder")
    assert "the two agree" in evidence(finding, "profile.agreement")
    assert "keep nothing there" in evidence(finding, "profile.control")

    [decision] = [event for event in raw.events if event.kind == PROFILE_PLAN]
    assert "objects with tracemalloc, survivors, lines, because objects is what the leak.objects" in decision.text
    assert raw.manifest.facts["profile.auto"] == decision.text
    assert {a.attributes["role"] for a in raw.artifacts if a.endpoint == "objects"} == {"suspect"}
    assert {a.attributes["role"] for a in raw.artifacts if a.endpoint != "objects"} == {"control"}
    assert all_profiled_after_the_rounds(raw)


def all_profiled_after_the_rounds(raw: RawRun) -> bool:
    """No triggered request lies in what is judged, nor a floor of it after one."""
    rounds = [w for w in raw.windows if w.phase is PhaseName.ROUNDS]
    last = max(max(w.end_ns or 0, w.floor_ns or 0) for w in rounds)
    profiled = [span for span in raw.spans if span.phase is PhaseName.PROFILED]
    return bool(profiled) and all(span.round is None and span.start_ns > last for span in profiled)


def test_garbage_in_cycles_ends_at_the_line_that_makes_them(tmp_path: Path) -> None:
    _, report = python(tmp_path, "cycles", KEEPS_GC="off")
    finding = report["findings"][0]
    assert finding["cause"] == "gc-delay"
    assert place(finding)[0] == KEEPS.name
    assert place(finding)[1] in (marked("cycles"), marked("cycles") - 1)
    assert "Node other -> python_keeps_app.Node other" in evidence(finding, "profile.cycle")


def test_a_request_is_sent_again_until_one_keeps_something(tmp_path: Path) -> None:
    raw, report = python(tmp_path, "rare")
    finding = next(f for f in report["findings"] if f["cause"].startswith("leak"))
    assert place(finding) == (KEEPS.name, marked("rare"))
    [looked_at] = {
        a.attributes["requests_looked_at"]
        for a in raw.artifacts
        if a.endpoint == "rare" and a.tool == "tracemalloc" and "requests_looked_at" in a.attributes
    }
    assert f"one of {looked_at} profiled requests" in evidence(finding, "profile.agreement") or looked_at == 1


def test_a_healthy_application_gets_one_control_and_no_line(tmp_path: Path) -> None:
    raw, report = python(tmp_path, "")
    assert report["verdict"]["cause"] == "healthy"
    assert report["findings"][0]["subject"]["location"] is None
    assert {(a.attributes["role"]) for a in raw.artifacts} == {"control"}
    assert {a.tool for a in raw.artifacts} == {"tracemalloc", "survivors"}
    assert len({a.endpoint for a in raw.artifacts}) == 1


def test_a_php_worker_ends_at_the_function_and_the_line(tmp_path: Path) -> None:
    worker, port = PROGRAMS / "php_keeps" / "worker.php", free_port()
    address = f"tcp://127.0.0.1:{port}"
    raw, report = run(
        tmp_path,
        target={"runtime": "php", "launch": f"php {worker} {address}", "ready": address},
        load={
            "rounds": 8,
            "warmup_rounds": 1,
            "settle": "200ms",
            "each_round": f"php {worker.with_name('feed.php')} {address} 200",
        },
    )
    finding = report["findings"][0]
    assert finding["cause"] == "leak.objects"
    [line] = [n for n, text in enumerate(worker.read_text().splitlines(), 1) if text.endswith("// keeps")]
    assert place(finding) == (worker.name, line)
    assert finding["subject"]["location"]["function"] == "Log->remember"
    assert {a.tool for a in raw.artifacts} == {"xdebug_trace", "xdebug"}
