"""Read a scenario and hold it against this machine: everything wrong with it in one error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ScenarioError

if TYPE_CHECKING:
    from harness.scenario.schema import Scenario


def read_for_run(path: Path) -> Scenario:
    """The scenario. Raises ScenarioError with every mistake, unset environment variable, unknown runtime or profiler."""
    from harness.plugins.registry import adapter_names, load_adapter
    from harness.scenario.checks import check_environment, check_runtime, check_tools
    from harness.scenario.reader import read_scenario

    scenario = read_scenario(path)
    problems = (*check_environment(scenario, os.environ), *check_runtime(scenario, adapter_names()))
    if not problems and scenario.runtime != "any":
        problems = check_tools(scenario, load_adapter(scenario.runtime).tools)
    if problems:
        raise ScenarioError(problems)
    return scenario
