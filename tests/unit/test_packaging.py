"""What pyproject.toml declares is what the documents say and what start-up loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENT = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
PAGE = json.loads((ROOT / "harness/report/ui/package.json").read_text(encoding="utf-8"))
HEAVY = {"memory_profiler", "objgraph", "guppy", "pyprof2calltree", "psutil", "httpx", "pydantic", "numpy", "yaml"}


def normal(requirement: str) -> str:
    """The name of a requirement as PEP 503 compares it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def table_rows(section: str) -> list[str]:
    """First cells of the tables in a section of the document, headings left out."""
    cells = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    return [normal(cell) for cell in cells if cell != "package"]


def section(start: str, end: str | None) -> str:
    """From one text to another, or to the end."""
    return DOCUMENT[DOCUMENT.index(start) : None if end is None else DOCUMENT.index(end)]


@pytest.mark.parametrize(
    ("declared", "described"),
    [
        (PROJECT["dependencies"], section("## At run time, in the harness", "## Extras")),
        (PROJECT["optional-dependencies"]["demo"], section("`demo`:", "`conprof`:")),
        (PROJECT["optional-dependencies"]["conprof"], section("`conprof`:", "`parquet`:")),
        (PROJECT["optional-dependencies"]["parquet"], section("`parquet`:", "`fleet`:")),
        (PROJECT["optional-dependencies"]["fleet"], section("`fleet`:", "`dask`:")),
        (PROJECT["optional-dependencies"]["dask"], section("`dask`:", "`locust`:")),
        (PROJECT["optional-dependencies"]["locust"], section("`locust`:", "`dev`:")),
        (PROJECT["optional-dependencies"]["dev"], section("`dev`:", "`bench`:")),
        (PROJECT["optional-dependencies"]["bench"], section("`bench`:", "## The HTML report")),
        ([*PAGE["dependencies"], *PAGE["devDependencies"]], section("## The HTML report", None)),
    ],
    ids=["runtime", "demo", "conprof", "parquet", "fleet", "dask", "locust", "dev", "bench", "page"],
)
def test_every_dependency_is_justified(declared: list[str], described: str) -> None:
    assert sorted(normal(requirement) for requirement in declared) == sorted(table_rows(described))


def test_version_is_said_once() -> None:
    assert PROJECT["version"] == harness.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_start_up_imports_nothing_heavy(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert {"click", "harness"} <= imported
    assert not imported & HEAVY
