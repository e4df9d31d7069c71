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
    from harness.analysis.prescriptions import problems_of
    from harness.plugins.registry import adapter_names, load_adapter
    from harness.scenario.environment import environment_problems, runtime_problems, tool_problems
    from harness.scenario.reader import read_scenario

    scenario = read_scenario(path)
    problems = [*runtime_problems(scenario, adapter_names()), *environment_problems(scenario, os.environ)]
    if scenario.profile.tools and scenario.runtime in adapter_names():
        problems += tool_problems(scenario, load_adapter(scenario.runtime).tools)
    problems += [text for named in scenario.prescriptions for text in problems_of(scenario.resolve_path(named))]
    if problems:
        raise ScenarioError(tuple(problems))
    return scenario
