"""A real CPython, dumped once: our own interpreter with a known content."""

from __future__ import annotations

import sys

import pytest
from known_python import PROGRAM
from memory_dump import DumpedProcess, dump_of


@pytest.fixture(scope="session")
def dumped_python() -> DumpedProcess:
    """Our own interpreter: threads, objects and thresholds as in `PROGRAM`."""
    return dump_of([sys.executable, "-I", "-S", "-c", PROGRAM], b"ready")
