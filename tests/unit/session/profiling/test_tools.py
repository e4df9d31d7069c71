"""What a run decides from its scenario before anything is started."""

from __future__ import annotations

import pytest

from harness.plugins.registry import load_adapter
from harness.scenario.reader import parse_scenario
from harness.session.profiling.tools import chosen_tools, watched_functions, watching_tools

ADAPTER = load_adapter("python")
SCENARIO = """
name: shop
target: {{runtime: python, launch: serve, ready: "http://127.0.0.1:1/", python: {{functions: [{target}]}}}}
requests: [{{name: home, get: /}}]
load: {{rounds: 7, requests_per_round: 60}}
profile: {{functions: [{profile}]}}
"""


@pytest.mark.parametrize(
    ("target", "profile", "functions"),
    [
        ("shop:basket", "", ("shop:basket",)),
        ("", "shop:basket", ("shop:basket",)),
        ("shop:basket, shop:pay", "shop:pay", ("shop:pay", "shop:basket")),
    ],
)
def test_naming_functions_asks_for_the_tools_that_watch_them(
    target: str, profile: str, functions: tuple[str, ...]
) -> None:
    scenario = parse_scenario(SCENARIO.format(target=target, profile=profile))
    assert watched_functions(scenario) == functions
    assert set(chosen_tools(scenario, ADAPTER)) == {*ADAPTER.auto_tools, "lines", "memory_profiler"}
    assert watching_tools(scenario, ADAPTER) == ("lines", "memory_profiler")


def test_without_functions_nothing_watches() -> None:
    scenario = parse_scenario(SCENARIO.format(target="", profile=""))
    assert chosen_tools(scenario, ADAPTER) == ADAPTER.auto_tools
    assert watching_tools(scenario, ADAPTER) == ()
