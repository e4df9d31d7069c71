"""From scenario to plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.scenario.reader import parse_scenario
from harness.scenario.schema import Scenario
from harness.session import compiling
from harness.session.workload import Feed, Jobs, Rounds, Shaped, Stage, Watch

BASE = """
name: shop
target: {launch: "server --key ${KEY}", cwd: sub, env: {A: "${KEY}"}, ready: "http://127.0.0.1:1/"}
"""
REQUESTS = """
requests:
  - {name: home, get: /, weight: 5}
  - name: login
    post: /login
    once: true
    form: {user: "${USER_NAME}", csrf: "${csrf}"}
    capture: {csrf: {from: home, regex: 'v="(\\w+)"'}}
    check: {status: 302, max_latency: 1s}
"""
ENVIRON = {"KEY": "k1 k2", "USER_NAME": "ada", "csrf": "never this"}


def read(text: str) -> Scenario:
    return parse_scenario(BASE + text, Path("/scenarios/shop.yaml"))


def test_requests_become_a_plan_with_secrets_apart() -> None:
    plan = compiling.load_plan(read(REQUESTS), "http://127.0.0.1:1", ENVIRON)
    home, login = plan.requests
    assert (home.name, home.method, home.path, home.weight) == ("home", "GET", "/", 5)
    assert login.once
    assert login.form == (("user", "${USER_NAME}"), ("csrf", "${csrf}"))
    assert login.captures[0].source == "home"
    assert login.checks.statuses == (302,)
    assert login.checks.max_latency_ns == 10**9
    assert plan.variables == {"USER_NAME": "ada"}  # neither a captured name nor one that no request uses


def test_a_command_keeps_a_value_with_spaces_as_one_word() -> None:
    (plan,) = compiling.launch_plans(read(REQUESTS), Path("/scenarios"), ENVIRON)
    assert plan.argv == ("server", "--key", "k1 k2")
    assert plan.env == {"A": "k1 k2"}
    assert plan.cwd == Path("/scenarios/sub")
    assert plan.name == "app"


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("load: {rounds: 9, requests_per_round: 50, blocks: 3, settle: 100ms}", Rounds(9, 2, 50, 3, 0.1)),
        ("load: {rounds: 7, each_round: make jobs, timeout: 5s}", Jobs(7, 1, 0.3, 5.0)),
        ("load: {rounds: 7, command: wrk x, timeout: 5s}", Jobs(7, 1, 0.3, 5.0, sends=True)),
        ("load: {command: wrk x, for: 60s, warmup: 5s}", Feed(5.0, 60.0)),
        ("load: {locustfile: a.py, for: 60s}", Shaped(30.0, 60.0)),
        ("load: {engine: locust, stages: [{rate: 5/s, for: 2s}]}", (Stage(5.0, 5.0, 2.0, False, 200),)),
        ("load: [{rate: 10/s..50/s, for: 30s, warmup: true}]", (Stage(10.0, 50.0, 30.0, True, 200),)),
        ("load: {observe: 10m}", Watch(600.0)),
        ("load: {observe: null}", Watch(None)),
    ],
)
def test_each_kind_of_load(load: str, expected: object) -> None:
    requests = "" if "observe" in load or "each_round" in load else REQUESTS
    assert compiling.workload(read(requests + load)) == expected


def test_profiled_endpoints_are_the_mix_unless_named() -> None:
    assert compiling.profiled_endpoints(read(REQUESTS)) == ("home",)
    assert compiling.profiled_endpoints(read(REQUESTS + "profile: {tools: auto, endpoints: [login]}")) == ("login",)


def test_limits_in_base_units() -> None:
    limits = compiling.limits(read(REQUESTS + "guard: {latency_p99: 2s, mem_available: 1 GiB, psi_some: 20%}"))
    assert (limits.latency_p99_ns, limits.mem_available_bytes, limits.psi_some_share) == (2 * 10**9, 2**30, 0.2)


def test_a_secret_that_is_not_set_is_an_error_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="KEY"):
        compiling.launch_plans(read(REQUESTS), Path("/scenarios"), {})


@pytest.mark.parametrize(
    ("load", "engine", "options"),
    [
        ("load: {rounds: 8}", "builtin", {}),
        ("load: {rounds: 8, engine: locust}", "locust", {"workers": 2}),
        (
            "load: {rounds: 8, engine: locust, remote_workers: 3, listen: '10.0.0.5:5557', wait: 90s}",
            "locust",
            {"workers": 0, "remote_workers": 3, "listen": "10.0.0.5:5557", "wait_s": 90.0},
        ),
        ("load: {rounds: 8, engine: another}", "another", {}),
        ("load: {command: wrk x}", "builtin", {}),
    ],
)
def test_who_sends(load: str, engine: str, options: dict[str, object]) -> None:
    assert compiling.load_engine(read(REQUESTS + load)) == (engine, options)


def test_a_locustfile_is_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    scenario = parse_scenario(f"{BASE}load: {{locustfile: mine.py, users: 5, for: 60s}}", tmp_path / "shop.yaml")
    with pytest.raises(UsageError, match=r"there is no file mine\.py"):
        compiling.load_engine(scenario)
    (tmp_path / "mine.py").touch()
    engine, options = compiling.load_engine(scenario)
    assert engine == "locustfile"
    assert options == {
        "workers": 2, "locustfile": str(tmp_path / "mine.py"), "users": 5, "spawn_rate": 5.0, "directory": str(tmp_path),
    }  # fmt: skip
