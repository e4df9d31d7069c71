"""A valid scenario against the place it is to run in: environment variables, adapters, profilers.

Problems are ``file:line: text``, as the reader's are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.errors import ScenarioError
from harness.scenario.crosschecks import environment_references
from harness.scenario.hints import did_you_mean
from harness.scenario.schema import Scenario
from harness.scenario.source import Data, Loc


def check_environment(scenario: Scenario, environ: Mapping[str, str]) -> None:
    """Raises ScenarioError naming every environment variable the scenario uses and ``environ`` does not have."""
    problems = environment_problems(scenario, environ)
    if problems:
        raise ScenarioError(problems)


def environment_problems(scenario: Scenario, environ: Mapping[str, str]) -> tuple[str, ...]:
    """One problem for each variable that is not set, where it is used first."""
    used = ((_line(scenario, loc), name, loc) for loc, name in environment_references(_data(scenario)))
    first: dict[str, Loc] = {}
    for _, name, loc in sorted(used, key=lambda use: use[:2]):
        if name not in environ:
            first.setdefault(name, loc)
    return tuple(
        f"{_place(scenario, loc)}: ${{{name}}} is not set: export {name}=... before the run"
        for name, loc in first.items()
    )


def environment_used(scenario: Scenario, environ: Mapping[str, str]) -> dict[str, str]:
    """The part of ``environ`` the scenario refers to: all that a process needs which fills in its texts."""
    names = {name for _, name in environment_references(_data(scenario))}
    return {name: environ[name] for name in sorted(names & environ.keys())}


def runtime_problems(scenario: Scenario, adapters: Collection[str]) -> tuple[str, ...]:
    """Whether there is an adapter for the target's runtime; ``any`` needs none."""
    runtime = scenario.runtime
    if runtime == "any" or runtime in adapters:
        return ()
    known = (*sorted(adapters), "any")
    place = _place(scenario, ("target", "runtime"))
    hint = did_you_mean(runtime, known) or f"; runtimes: {', '.join(known)}"
    return (f"{place}: no adapter for the runtime {runtime!r}{hint}",)


def tool_problems(scenario: Scenario, tools: Collection[str]) -> tuple[str, ...]:
    """Profilers the scenario asks for and the adapter, which offers ``tools``, does not have."""
    return tuple(
        f"{_place(scenario, ('profile', 'tools', index))}: no profiler {tool!r} for runtime {scenario.runtime}"
        + (did_you_mean(tool, tools) or f"; profilers: {', '.join(sorted(tools)) or 'none'}")
        for index, tool in enumerate(scenario.profile.tools or ())
        if tool not in tools
    )


def _data(scenario: Scenario) -> Data:
    data: Data = scenario.to_data() if scenario.source is None else scenario.source.data
    return data


def _line(scenario: Scenario, loc: Loc) -> int:
    return 1 if scenario.source is None else scenario.source.line(loc)


def _place(scenario: Scenario, loc: Loc) -> str:
    return "scenario" if scenario.source is None else scenario.source.place(_line(scenario, loc))
