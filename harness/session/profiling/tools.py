"""Which profilers a scenario asks for."""

from __future__ import annotations

from harness.errors import UsageError
from harness.plugins.spec import LanguageAdapter
from harness.scenario.schema import Scenario
from harness.scenario.shape import LINE_TOOLS


def watched_functions(scenario: Scenario) -> tuple[str, ...]:
    """The functions to watch line by line: under ``profile``, and among the runtime's options."""
    options = {} if scenario.target is None else scenario.target.adapter_options
    return tuple(dict.fromkeys((*scenario.profile.functions, *options.get("functions", ()))))


def watching_tools(scenario: Scenario, adapter: LanguageAdapter) -> tuple[str, ...]:
    """Those that watch functions, where the scenario names some."""
    return tuple(tool for tool in LINE_TOOLS if tool in adapter.tools) if watched_functions(scenario) else ()


def chosen_tools(scenario: Scenario, adapter: LanguageAdapter | None) -> tuple[str, ...]:
    """The profilers to use, or with ``profile: auto`` to choose from. Raises UsageError for one this runtime does not offer."""
    asked = scenario.profile.tools
    if adapter is None:
        if asked:
            raise UsageError(
                "profile: needs target.runtime", hint="set target.runtime to python or php, or profile: none"
            )
        return ()
    if asked is None:
        return tuple(dict.fromkeys((*adapter.auto_tools, *watching_tools(scenario, adapter))))
    unknown = [tool for tool in asked if tool not in adapter.tools]
    if unknown:
        offered = ", ".join(adapter.tools)
        raise UsageError(
            f"profile: the {adapter.name} adapter has no tool {unknown[0]!r}", hint=f"it offers: {offered}"
        )
    return tuple(asked)
