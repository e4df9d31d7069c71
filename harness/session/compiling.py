"""From the scenario's words to what the parts are told: load plan, launch plans, limits. Reads no file, but looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.load.engines import BUILTIN
from harness.load.plan import CapturePlan, CheckPlan, LoadPlan, RequestPlan
from harness.plugins.spec import LaunchPlan
from harness.scenario.load import (
    CommandLoad,
    EachRoundLoad,
    EngineLoad,
    EngineStagesLoad,
    LocustfileLoad,
    RoundsLoad,
    StagesLoad,
)
from harness.scenario.requests import CaptureSpec, RequestSpec
from harness.scenario.schema import Scenario
from harness.scenario.variables import references, resolve
from harness.session.guardrails import Limits
from harness.session.target import JOB
from harness.session.workload import Feed, Jobs, Rounds, Shaped, Stage, Watch

_STAGE_USERS = 20


def load_engine(scenario: Scenario) -> tuple[str, dict[str, Any]]:
    """Which engine sends, and its options. Raises UsageError when it cannot, as far as that is known before anything starts."""
    load = scenario.load
    if isinstance(load, LocustfileLoad):
        path = scenario.resolve_path(load.locustfile)
        if not path.is_file():
            raise UsageError(f"load.locustfile: there is no file {load.locustfile}", hint=f"looked for {path}")
        own = {"locustfile": str(path), "users": load.users, "spawn_rate": load.spawn_rate or float(load.users)}
        name, options = "locustfile", {**load.engine_options, **own, "directory": str(scenario.scenario_dir)}
    elif isinstance(load, EngineLoad) and load.engine is not None:
        name, options = load.engine, load.engine_options if load.engine == "locust" else {}
    else:
        return BUILTIN, {}
    if name in {"locust", "locustfile"} and find_spec("locust") is None:
        raise UsageError(
            "this load needs Locust, which is not installed", hint="pip install 'profiling-harness[locust]'"
        )
    return name, options


def load_plan(scenario: Scenario, base_url: str, environ: Mapping[str, str]) -> LoadPlan:
    """The traffic. Values from the environment travel as plan variables, so their text is never parsed.

    Raises ValueError for what only the plan itself can see.
    """
    captured = {name for request in scenario.requests for name in request.capture}
    names = references([r.model_dump(mode="json", by_alias=True) for r in scenario.requests]) - captured
    users = _STAGE_USERS
    seed = 1
    if isinstance(scenario.load, RoundsLoad):
        users, seed = scenario.load.concurrency, scenario.load.seed
    return LoadPlan(
        base_url=base_url,
        requests=tuple(_request(r) for r in scenario.requests),
        users=users,
        seed=seed,
        headers=(("User-Agent", "profiling-harness"),),
        variables={name: environ[name] for name in names if name in environ},
    )


def _request(r: RequestSpec) -> RequestPlan:
    return RequestPlan(
        name=r.name,
        path=r.path,
        method=r.method,
        weight=r.weight,
        once=r.once,
        headers=tuple(r.headers.items()),
        cookies=tuple(r.cookies.items()),
        query=tuple(r.query.items()),
        form=None if r.form is None else tuple(r.form.items()),
        json=r.json_body,
        body=r.body,
        captures=tuple(_capture(name, spec) for name, spec in r.capture.items()),
        checks=CheckPlan(
            statuses=r.check.status,
            contains=() if r.check.contains is None else (r.check.contains,),
            not_contains=() if r.check.not_contains is None else (r.check.not_contains,),
            max_latency_ns=r.check.max_latency_ns,
        ),
        follow_redirects=r.follow_redirects,
        timeout_s=r.timeout_ns / 1e9,
    )


def _capture(name: str, spec: CaptureSpec) -> CapturePlan:
    return CapturePlan(name, spec.source, spec.regex, spec.header, spec.json_path, spec.group, spec.fresh)


def workload(scenario: Scenario) -> Rounds | Jobs | tuple[Stage, ...] | Watch | Shaped | Feed:
    """The kind of traffic."""
    load = scenario.load
    if isinstance(load, RoundsLoad):
        return Rounds(load.rounds, load.warmup_rounds, load.requests_per_round, load.blocks, load.settle_ns / 1e9)
    if isinstance(load, EachRoundLoad):
        return Jobs(load.rounds, load.warmup_rounds, load.settle_ns / 1e9, load.timeout_ns / 1e9)
    if isinstance(load, CommandLoad):
        if load.duration_ns is not None:
            return Feed(load.warmup_ns / 1e9, load.duration_ns / 1e9)
        return Jobs(load.rounds, load.warmup_rounds, load.settle_ns / 1e9, load.timeout_ns / 1e9, sends=True)
    if isinstance(load, LocustfileLoad):
        return Shaped(load.warmup_ns / 1e9, load.duration_ns / 1e9)
    if isinstance(load, StagesLoad | EngineStagesLoad):
        return tuple(
            Stage(s.rate.start_per_s, s.rate.end_per_s, s.duration_ns / 1e9, s.warmup, s.max_in_flight)
            for s in load.stages
        )
    return Watch(None if load.observe_ns is None else load.observe_ns / 1e9)


def launch_plans(scenario: Scenario, scenario_dir: Path, environ: Mapping[str, str]) -> tuple[LaunchPlan, ...]:
    """The programs the scenario starts, environment values filled in; empty when it attaches or has no target."""
    target = scenario.target
    if target is None:
        return ()
    plans = []
    for number, program in enumerate(target.launch):
        name = program.name or ("app" if number == 0 else f"app-{number + 1}")
        env = {k: resolve(v, environ) for k, v in {**target.env, **program.env}.items()}
        own = program.cwd or target.cwd
        cwd = (scenario_dir / (own or ".")).resolve()
        argv = tuple(resolve(word, environ) for word in program.argv)
        there = bool(target.elsewhere)  # then the home directory of the user is where a relative path begins
        plans.append(LaunchPlan(name, argv, env, (Path(own) if own else None) if there else cwd, program.measured))
    return tuple(plans)


def job_plan(scenario: Scenario, scenario_dir: Path, environ: Mapping[str, str]) -> LaunchPlan:
    """The command that ``load`` names. It is itself what is measured unless the scenario has another target."""
    assert isinstance(scenario.load, EachRoundLoad | CommandLoad)
    target = scenario.target
    argv = tuple(resolve(word, environ) for word in scenario.load.argv)
    env = {} if target is None else {k: resolve(v, environ) for k, v in target.env.items()}
    cwd = scenario_dir if target is None else scenario_dir / (target.cwd or ".")
    return LaunchPlan(JOB, argv, env, cwd.resolve(), measured=target is None or not target.ways_in)


def limits(scenario: Scenario) -> Limits:
    """Guard rails in base units."""
    guard = scenario.guard
    return Limits(
        latency_p99_ns=guard.latency_p99_ns,
        mem_available_bytes=None if guard.mem_available is None else guard.mem_available.bytes,
        mem_available_share=None if guard.mem_available is None else guard.mem_available.share,
        disk_free_bytes=guard.disk_free_bytes,
        psi_some_share=guard.psi_some,
    )


def profiled_endpoints(scenario: Scenario, limit: int = 12) -> tuple[str, ...]:
    """Which requests get a profiled one: those named, else all that are part of the mix, the first ``limit`` of them."""
    known = [r.name for r in scenario.requests]
    named = scenario.profile.endpoints
    if named is None:
        return tuple(r.name for r in scenario.requests if not r.once)[:limit]
    unknown = [n for n in named if n not in known]
    if unknown:
        raise UsageError(
            f"profile.endpoints names {unknown[0]!r}, which is not a request", hint=f"requests: {', '.join(known)}"
        )
    return tuple(named)
