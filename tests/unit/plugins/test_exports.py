"""Exporters are found by entry points, our own too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.plugins import registry
from harness.plugins.registry import load_profile_exports, load_run_exports

TABLES = {"samples", "requests", "processes", "endpoints", "events", "hosts"}  # rows of CSV and Parquet in the document


def test_the_built_in_ones_are_there() -> None:
    assert [each.name for each in load_run_exports()] == [
        "chrome-trace",
        "csv",
        "firefox",
        "openmetrics",
        "otlp",
        "parquet",
    ]
    assert [each.name for each in load_profile_exports()] == [
        "callgrind",
        "chrome-trace",
        "collapsed",
        "pprof",
        "speedscope",
    ]
    assert [each.name for each in load_profile_exports() if each.values is not None] == ["collapsed"]


def test_the_document_has_a_row_for_each() -> None:
    document = (Path(__file__).parents[3] / "docs" / "exports.md").read_text(encoding="utf-8")
    timeline, profiles = document.split("\n## Profiles\n")
    for text, exports in ((timeline, load_run_exports()), (profiles, load_profile_exports())):
        rows = re.findall(r"^\| `([a-z-]+)` \| ", text.partition("\n## How it is checked")[0], re.MULTILINE)
        assert sorted(set(rows) - TABLES) == [each.name for each in exports]


@dataclass(frozen=True)
class Entry:
    """As `importlib.metadata.EntryPoint`."""

    value: str
    name: str

    def load(self) -> Entry:
        return self


@pytest.mark.parametrize("load", [load_run_exports, load_profile_exports])
def test_two_packages_with_one_name_are_an_error(load, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    found = [Entry("a:EXPORT", "mine"), Entry("b:EXPORT", "mine")]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    with pytest.raises(HarnessError, match="two packages claim the export format mine"):
        load()
