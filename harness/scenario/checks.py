"""Checks of a valid scenario against the world it is to run in. Each answers problems as ``file:line: text``."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.scenario.crosschecks import environment_references
from harness.scenario.hints import did_you_mean
from harness.scenario.schema import Scenario
from harness.scenario.source import Data, Loc


def check_environment(scenario: Scenario, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Environment variables the scenario uses and ``environ`` does not have; one problem per name."""
    missing: dict[str, Loc] = {}
    for loc, name in environment_references(_data(scenario)):
        if name not in environ:
            missing.setdefault(name, loc)
    return tuple(
        f"{_place(scenario, loc)}: ${{{name}}} is not set: export {name}=... before the run"
        for name, loc in sorted(missing.items(), key=lambda item: _line(scenario, item[1]))
    )


def environment_used(scenario: Scenario, environ: Mapping[str, str]) -> dict[str, str]:
    """The part of ``environ`` that the scenario refers to: what a process needs that resolves its texts."""
    names = {name for _, name in environment_references(_data(scenario))}
    return {name: environ[name] for name in sorted(names & environ.keys())}


def check_runtime(scenario: Scenario, adapters: Collection[str]) -> tuple[str, ...]:
    """Whether there is an adapter for the target's runtime; ``any`` needs none."""
    runtime = scenario.runtime
    if runtime == "any" or runtime in adapters:
        return ()
    known = ", ".join((*sorted(adapters), "any"))
    return (f"{_place(scenario, ('target', 'runtime'))}: no adapter for the runtime {runtime!r}; runtimes: {known}",)


def check_tools(scenario: Scenario, tools: Collection[str]) -> tuple[str, ...]:
    """Profilers that are asked for and that the adapter, which offers ``tools``, does not have."""
    problems = []
    for index, tool in enumerate(scenario.profile.tools or ()):
        if tool not in tools:
            hint = did_you_mean(tool, tools) or f"; profilers: {', '.join(sorted(tools)) or 'none'}"
            place = _place(scenario, ("profile", "tools", index))
            problems.append(f"{place}: no profiler {tool!r} for runtime {scenario.runtime}{hint}")
    return tuple(problems)


def _data(scenario: Scenario) -> Data:
    data: Data = scenario.to_data() if scenario.source is None else scenario.source.data
    return data


def _line(scenario: Scenario, loc: Loc) -> int:
    return 1 if scenario.source is None else scenario.source.line(loc)


def _place(scenario: Scenario, loc: Loc) -> str:
    return "scenario" if scenario.source is None else scenario.source.place(_line(scenario, loc))
