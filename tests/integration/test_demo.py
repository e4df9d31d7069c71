"""The demo keeps its promise: planted defects are named, the healthy shop is called healthy, nothing is left running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from processes import alone, harness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SCENARIOS = Path(__file__).parents[2] / "scenarios"


def run_demo(name: str, directory: Path) -> dict[str, Any]:
    """Run a demo scenario as it ships and return its JSON report."""
    with alone("demo"), harness("run", SCENARIOS / f"{name}.yaml", cwd=directory) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, f"{out}\n{err}"
    directory = Path(out.splitlines()[-1])
    assert (directory / "report.html").stat().st_size > 10_000
    report: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return report


def culprit(report: dict[str, Any]) -> str:
    endpoint: str = report["findings"][0]["subject"]["endpoint"]
    return endpoint


def test_the_python_shop_leaks_in_checkout(tmp_path: Path) -> None:
    report = run_demo("demo-python", tmp_path)
    assert report["verdict"]["cause"].startswith("leak")
    assert culprit(report) == "checkout"
    assert any(profile["tool"] == "memory_profiler" for profile in report["profiles"])


def test_the_repaired_python_shop_is_healthy(tmp_path: Path) -> None:
    report = run_demo("demo-python-healthy", tmp_path)
    assert report["verdict"]["cause"] == "healthy"
    finding = report["findings"][0]
    assert finding["growth"]["mdl_bytes_per_request"] is not None


def test_the_php_shop_fills_shared_memory_in_recommend(tmp_path: Path) -> None:
    report = run_demo("demo-php", tmp_path)
    assert report["verdict"]["cause"] == "shared-memory"
    assert culprit(report) == "recommend"
    assert any(profile["tool"] == "xdebug" for profile in report["profiles"])
