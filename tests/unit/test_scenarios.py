"""The scenarios we ship are valid, name their schema, and fit the applications they drive."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from harness.scenario.reader import read_scenario
from harness.scenario.schema import Scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
FILES = sorted(SCENARIOS.rglob("*.yaml"))
DEMOS = ("demo-python", "demo-python-healthy", "demo-php")
SHOP = SCENARIOS / "apps" / "python_shop"


def read(path: Path) -> Scenario:
    return read_scenario(path)


def shipped(name: str) -> Scenario:
    return read(SCENARIOS / f"{name}.yaml")


def test_there_are_scenarios() -> None:
    assert {f"{name}.yaml" for name in DEMOS} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_valid_and_named_like_its_file(path: Path) -> None:
    assert read(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_line_names_the_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, first
    assert (path.parent / found[1]).resolve() == (SCENARIOS.parent / "harness/scenario/scenario.schema.json").resolve()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_directories_exist(path: Path) -> None:
    scenario = read(path)
    target = scenario.target
    assert target is not None
    named = [target.cwd, *(program.cwd for program in target.launch)]
    if target.php is not None and target.php.serve is not None:
        named.append(target.php.serve.docroot)
    for directory in named:
        if directory is not None and "$" not in directory:
            assert scenario.resolve_path(directory).is_dir(), directory


def test_healthy_demo_sends_what_the_leaking_one_sends() -> None:
    leaking, healthy = shipped("demo-python"), shipped("demo-python-healthy")
    assert healthy.requests == leaking.requests
    assert healthy.load == leaking.load


def test_profiled_functions_exist() -> None:
    for name in shipped("demo-python").profile.functions:
        module, _, function = name.partition(":")
        source = SHOP.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        assert function in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", DEMOS)
def test_demos_profile_requests_they_send(name: str) -> None:
    scenario = shipped(name)
    assert set(scenario.profile.endpoints or ()) <= {request.name for request in scenario.requests}
