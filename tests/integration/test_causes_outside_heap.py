"""Causes that no heap shows, on a real server: each page uses up something else, and all of them are told apart in one run."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from processes import free_port, harness

from harness.correlate.build import correlate
from harness.diagnose.engine import Diagnosis, diagnose
from harness.model.finding import Cause, Confidence, Finding, Severity
from harness.model.timeline import Timeline
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
PROGRAMS = Path(__file__).parents[1] / "programs"
ENOUGH_FOR_HUGE_PAGES = {"always", "madvise"}


@pytest.fixture
def on_tmpfs() -> Iterator[Path]:
    if not Path("/dev/shm").is_dir():
        pytest.skip("there is no /dev/shm")
    directory = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="harness-test-"))
    yield directory
    shutil.rmtree(directory)


def run(directory: Path, tmpfs: Path, pages: Sequence[str], requests: int) -> tuple[Timeline, Diagnosis]:
    port = free_port()
    command = f"{sys.executable} -m gunicorn python_outside_heap:application -w 2 -b 127.0.0.1:{port}"
    scenario = {
        "name": "outside",
        "target": {
            "runtime": "python",
            "launch": command,
            "ready": f"http://127.0.0.1:{port}/quiet",
            "cwd": str(PROGRAMS),
            "env": {"OUTSIDE_DIRECTORY": str(directory), "OUTSIDE_TMPFS": str(tmpfs)},
        },
        "requests": [{"name": page, "get": f"/{page}"} for page in pages],
        "load": {
            "rounds": 8, "requests_per_round": requests, "blocks": 5, "settle": "50ms", "warmup_rounds": 1, "concurrency": 4,
            "seed": 5,
        },
        "sample": {"interval": "200ms", "budget": "20%"},
        "profile": "none",
    }  # fmt: skip
    (directory / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=directory) as started:
        code, out, err = started.finish()
    assert code == 0, f"{out}\n{err}"
    timeline = correlate(read_run(Path(out.splitlines()[-1])))
    return timeline, diagnose(timeline)


def of_target(diagnosis: Diagnosis, cause: Cause) -> Finding | None:
    """The finding that is put down to the application; what somebody else does meanwhile is none of ours."""
    found = [f for f in diagnosis.findings if f.cause is cause and f.subject.pool is not None]
    assert len(found) <= 1
    return found[0] if found else None


def grouped(timeline: Timeline) -> bool:
    """Whether the run's target had a memory group of its own, as it has for root."""
    return any(name.startswith("cgroup.") for name in timeline.manifest.facts)


@pytest.mark.timeout(240)
def test_each_is_found_with_the_page_that_does_it(tmp_path: Path, on_tmpfs: Path) -> None:
    pages = ("threads", "descriptors", "mapped", "tmpfs", "log", "names", "quiet")
    timeline, diagnosis = run(tmp_path, on_tmpfs, pages, requests=105)
    expected = {Cause.THREADS: "threads", Cause.DESCRIPTORS: "descriptors", Cause.MAPPED_FILES: "mapped"}
    if grouped(timeline):
        expected |= {Cause.SHARED_MEMORY: "tmpfs", Cause.PAGE_CACHE: "log", Cause.KERNEL_SLAB: "names"}
    for cause, page in expected.items():
        found = of_target(diagnosis, cause)
        assert found is not None, cause
        assert found.subject.endpoint == page, found
        assert found.confidence is not Confidence.LOW, found
        assert not found.secondary
    files = of_target(diagnosis, Cause.MAPPED_FILES)
    assert files is not None
    assert "index-" in files.summary


@pytest.mark.timeout(240)
def test_nothing_is_found_where_nothing_is_used_up(tmp_path: Path, on_tmpfs: Path) -> None:
    _, diagnosis = run(tmp_path, on_tmpfs, ("quiet",), requests=100)
    assert diagnosis.verdict.cause in (Cause.HEALTHY, Cause.WARMUP, Cause.INCONCLUSIVE)
    outside = {
        Cause.THREADS, Cause.DESCRIPTORS, Cause.MAPPED_FILES, Cause.SHARED_MEMORY, Cause.PAGE_CACHE, Cause.KERNEL_SLAB,
        Cause.KERNEL_PRESSURE, Cause.KERNEL_FRAGMENTATION, Cause.COW_UNSHARING, Cause.THP,
    }  # fmt: skip
    claimed = [f for f in diagnosis.findings if f.cause in outside and f.severity is not Severity.INFO]
    assert not claimed
    assert not [f for f in diagnosis.findings if f.cause in outside and f.subject.pool is not None]


@pytest.mark.timeout(240)
def test_huge_pages_around_little(tmp_path: Path, on_tmpfs: Path) -> None:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or not any(f"[{word}]" in setting.read_text() for word in ENOUGH_FOR_HUGE_PAGES):
        pytest.skip("this kernel gives no huge pages")
    _, diagnosis = run(tmp_path, on_tmpfs, ("sparse", "quiet"), requests=30)
    assert diagnosis.verdict.cause is Cause.THP, diagnosis.verdict
    found = of_target(diagnosis, Cause.THP)
    assert found is not None
    assert found.subject.endpoint == "sparse"
    mapping = of_target(diagnosis, Cause.LEAK_MMAP)
    assert mapping is None or mapping.secondary
