"""Scenario files in, frozen models out; every mistake of a file at once, each with its line."""

from __future__ import annotations

from pathlib import Path

from harness.scenario.schema import Scenario
from harness.scenario.source import Source, read_source


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises ScenarioError with all its mistakes."""
    return build_scenario(read_source(path))


def build_scenario(source: Source) -> Scenario:
    scenario = Scenario.model_validate(source.data)
    scenario._source = source
    return scenario
