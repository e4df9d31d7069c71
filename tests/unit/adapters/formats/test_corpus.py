"""Every format reads damaged and hostile files (tests/corpus): a profile or a reason, never another error, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.samples import samples

ROOT = Path(__file__).parents[4]


def check(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.corpus.check", *arguments]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=110).stdout
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("seed", ["1", "2"])
def test_damaged_samples(seed: str) -> None:
    found = check("mutations", "40", seed)
    assert found["wrong"] == []
    seen = found["seen"]
    assert isinstance(seen, dict)
    for name, group in samples().items():
        assert seen.get(f"{name} read", 0) + seen.get(f"{name} refused", 0) == 40 * len(group)
        assert seen.get(f"{name} read", 0) > 0
    assert found["peak_mib"] < 100  # type: ignore[operator]  # MiB, of an object that was JSON


def test_hostile_files() -> None:
    found = check("hostile")
    assert found["wrong"] == []
    assert found["peak_mib"] < 400  # type: ignore[operator]  # MiB, of an object that was JSON
