"""A valid scenario against its surroundings."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.environment import (
    check_environment,
    environment_problems,
    environment_used,
    runtime_problems,
    tool_problems,
)
from harness.scenario.reader import parse_scenario, read_scenario
from harness.scenario.schema import Scenario

FILES = Path(__file__).with_name("files")
TEXT = """\
name: x
target:
  runtime: php
  launch:
    - {run: "serve ${PORT}", env: {A: "${A}"}}
    - "other ${PORT} $${NOT}"
  url: http://127.0.0.1/
  env: {B: "${B}"}
  php: {xdebug: {secret: "${SECRET}", output_dir: /x}}
requests:
  - name: login
    post: /login
    json: {user: ["${USER_NAME}"], token: "${token}"}
    headers: {X: "${USER_NAME}"}
    capture: {token: {from: home, header: T}}
  - {name: home, get: "/${CAPTURED}", capture: {CAPTURED: {from: page, header: C}}}
  - {name: page, get: /}
profile: [xdebug, memry, nope]
"""
NAMES = ("PORT", "A", "B", "SECRET", "USER_NAME")


def scenario() -> Scenario:
    return parse_scenario(TEXT, Path("s.yaml"))


def test_every_unset_variable_is_named_once_where_it_is_used_first() -> None:
    assert environment_problems(scenario(), {"B": ""}) == (
        "s.yaml:5: ${A} is not set: export A=... before the run",
        "s.yaml:5: ${PORT} is not set: export PORT=... before the run",
        "s.yaml:9: ${SECRET} is not set: export SECRET=... before the run",
        "s.yaml:13: ${USER_NAME} is not set: export USER_NAME=... before the run",
    )
    with pytest.raises(ScenarioError) as caught:
        check_environment(scenario(), {})
    assert len(caught.value.problems) == 5


def test_captures_and_escapes_are_no_environment() -> None:
    environ = dict.fromkeys(NAMES, "x") | {"HOME": "/root", "token": "x"}
    check_environment(scenario(), environ)
    assert environment_used(scenario(), environ) == dict.fromkeys(sorted(NAMES), "x")


def test_a_scenario_without_a_file_is_checked_as_well() -> None:
    stored = Scenario.model_validate(scenario().to_data())
    problems = environment_problems(stored, {})
    assert sorted(p.split("${")[1].split("}")[0] for p in problems) == sorted(NAMES)
    assert all(p.startswith("scenario: ") for p in problems)


def test_runtimes() -> None:
    assert runtime_problems(scenario(), ["php", "python"]) == ()
    assert runtime_problems(scenario(), ["python"]) == (
        "s.yaml:3: no adapter for the runtime 'php'; runtimes: python, any",
    )
    typo = parse_scenario("name: x\ntarget: {runtime: pyhton, attach: {pid: 1}}\nload: {observe: 1m}\n", Path("s.yaml"))
    assert runtime_problems(typo, ["php", "python"]) == (
        "s.yaml:2: no adapter for the runtime 'pyhton' (did you mean 'python'?)",
    )
    assert runtime_problems(read_scenario(FILES / "observed.yaml"), []) == ()


def test_tools() -> None:
    assert tool_problems(scenario(), ["xdebug", "memray"]) == (
        "s.yaml:18: no profiler 'memry' for runtime php (did you mean 'memray'?)",
        "s.yaml:18: no profiler 'nope' for runtime php; profilers: memray, xdebug",
    )
    assert tool_problems(read_scenario(FILES / "smallest.yaml"), []) == ()
