"""The examples without requests run as they ship and meet what they expect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import alone, harness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.mark.parametrize("name", ["queue-worker", "queue-worker-php", "script"])
def test_an_example_meets_its_expectations(name: str, tmp_path: Path) -> None:
    with alone("examples"), harness("run", SCENARIOS / f"{name}.yaml", cwd=tmp_path) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, f"{out}\n{err}"
    report = json.loads(Path(out.splitlines()[-1], "report.json").read_text(encoding="utf-8"))
    assert report["expectations"]
    assert all(expectation["passed"] for expectation in report["expectations"])
