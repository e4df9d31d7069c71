"""Fixture trees by name; see tests/fixtures/proc/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TREES = Path(__file__).parents[2] / "fixtures" / "proc"


@pytest.fixture
def captured() -> Path:
    """A capture of Linux 6.18."""
    return TREES / "linux-6.18-captured"


@pytest.fixture
def specimen(captured: Path) -> dict[str, int]:
    """Pids of the captured tree by what they are."""
    pids: dict[str, int] = json.loads((captured / "specimen.json").read_text())
    return pids


@pytest.fixture
def two_nodes() -> Path:
    """A capture of Linux 5.10 on two memory nodes."""
    return TREES / "linux-5.10-captured-v1-numa"


@pytest.fixture
def linux_4_19() -> Path:
    """Written by hand: a rollup without Pss_Anon, no PSI."""
    return TREES / "linux-4.19-constructed"


@pytest.fixture
def linux_4_9() -> Path:
    """Written by hand: no rollup, no PSI."""
    return TREES / "linux-4.9-constructed"
