"""Results of jobs under an armed tool: one for each kind of job, the run that was warmest, whatever else is in the records."""

import json
import time
from pathlib import Path

import pytest

from adapters.python import gather_jobs
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext, ProfiledResponse, Trigger

NOW = 1_000_000_000


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterContext:
    monkeypatch.setattr(gather_jobs, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(gather_jobs, "COPY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(gather_jobs, "QUIET_S", 0.05)
    for name in ("records", "results"):
        (tmp_path / name).mkdir()
    return AdapterContext(tmp_path, "", {}, ("tracemalloc",))


def record(
    context: AdapterContext, kind: str, before: int, *, t_ns: int = NOW, tool: str = "tracemalloc", pid: int = 1
) -> str:
    """A run of a kind of job with a result; the name of the file."""
    stem = f"{kind.replace(':', '-')}-{before}-{pid}-{t_ns}.json"
    payload = {"format": "harness-python-tool/1", "tool": tool, "name": kind, "before": before}
    (context.work_dir / "results" / stem).write_text(json.dumps(payload))
    write(context, file=stem, t=t_ns, tool=tool, pid=pid, v={"runs_before": before})
    return stem


def write(context: AdapterContext, **values: object) -> None:
    line = {
        "k": "tool",
        "rt": "python",
        "pid": 1,
        "t": NOW,
        "span": None,
        "tool": "tracemalloc",
        "file": None,
        "error": None,
    }
    with (context.work_dir / "records" / "python-1.ndjson").open("a") as stream:
        stream.write(json.dumps({**line, "v": {}, **values}, separators=(",", ":")) + "\n")


def gather(context: AdapterContext) -> list[Artifact]:
    response = ProfiledResponse("", "each_round", 0, NOW, 2 * NOW, {})
    return list(gather_jobs.gather(context, Trigger("tracemalloc"), response, context.work_dir / "artifacts"))


def test_of_each_kind_the_run_with_most_before_it(context: AdapterContext) -> None:
    record(context, "shop:order", 0)
    record(context, "shop:order", 3, t_ns=NOW + 3, pid=2)
    record(context, "shop:order", 1, t_ns=NOW + 9)
    record(context, "shop:mail", 2, t_ns=NOW + 5)
    record(context, "shop:other", 7, t_ns=NOW - 1)  # of an earlier tool's turn
    record(context, "shop:order", 9, tool="cprofile")
    mail, order = gather(context)
    assert (mail.endpoint, order.endpoint) == ("shop:mail", "shop:order")
    assert (order.pid, order.t_ns, order.status) == (2, NOW + 3, ArtifactStatus.COMPLETE)
    assert order.path == f"python-tracemalloc-job-2-{NOW + 3}.json"
    assert json.loads((context.work_dir / "artifacts" / order.path).read_text())["before"] == 3


def test_no_record_is_a_reason(context: AdapterContext) -> None:
    [found] = gather(context)
    assert (found.status, found.path, found.endpoint) == (ArtifactStatus.MISSING, None, "each_round")
    assert "target.python.jobs" in found.detail


def test_a_tool_that_failed_says_so_at_once(context: AdapterContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_jobs, "TIMEOUT_S", 60)
    write(context, error="the application traces with tracemalloc itself", v={"runs_before": 0})
    [found] = gather(context)
    assert found.detail == "the application traces with tracemalloc itself"


def test_a_run_that_was_not_warmed_up_is_better_than_none(context: AdapterContext) -> None:
    record(context, "shop:order", 0)
    began = time.monotonic()
    [found] = gather(context)
    assert found.endpoint == "shop:order"
    assert time.monotonic() - began >= 0.2  # a better one might have come


def test_what_a_copy_works_on_is_waited_for(context: AdapterContext) -> None:
    record(context, "shop:order", 1)
    write(context, v={"pending": 1})
    began = time.monotonic()
    [found] = gather(context)
    assert found.endpoint == "shop:order"
    assert time.monotonic() - began >= 0.5
    write(context, error="no memory for a copy", v={"snapshot_fork_ns": 1, "runs_before": 2})  # that was the result
    began = time.monotonic()
    [found] = gather(context)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": "harness-python-tool/1", "tool": "tracemalloc", "name": 7}', "{"]
)
def test_results_that_are_none(context: AdapterContext, text: str) -> None:
    (context.work_dir / "results" / record(context, "shop:order", 1)).write_text(text)
    [found] = gather(context)
    assert (found.status, found.path) == (ArtifactStatus.MISSING, None)
    assert not list((context.work_dir).glob("artifacts/*"))


def test_the_name_of_a_job_becomes_no_path(context: AdapterContext) -> None:
    payload = {"format": "harness-python-tool/1", "tool": "tracemalloc", "name": "../../" + "x" * 1000}
    (context.work_dir / "results" / "a.json").write_text(json.dumps(payload))
    write(context, file="a.json", v={"runs_before": 1})
    [found] = gather(context)
    assert found.path == f"python-tracemalloc-job-1-{NOW}.json"
    assert len(found.endpoint or "") <= 256
