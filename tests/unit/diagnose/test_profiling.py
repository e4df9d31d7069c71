"""What is profiled after the rounds: runs with known truth, judged, and the plan that follows from that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from timelines import App, Endpoint, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.diagnose.profiling import Limits, Plan, Role, plan
from harness.model.finding import Cause
from harness.plugins.spec import Shows, ToolUse

KEPT = ToolUse("kept", Shows.KEPT)
HOLDERS = ToolUse("holders", Shows.HOLDERS)
LINES = ToolUse("lines", Shows.KEPT, follows=True)
DEFAULT = (ToolUse("default", Shows.CALLS),)
LEAK = {"leak_bytes": 10_240, "leak_blocks": 5}


def tools_for(cause: Cause) -> Sequence[ToolUse]:
    return () if cause in (Cause.KERNEL_SLAB, Cause.PAGE_CACHE) else (KEPT, HOLDERS, LINES)


def planned(app: App, allowed: Sequence[str] | None = None, suspects: int = 3) -> Plan:
    timeline = correlate(simulate(app))
    names = [e.name for e in app.endpoints] if allowed is None else allowed
    return plan(diagnose(timeline), timeline, tools_for, DEFAULT, Limits(names, suspects))


def by_role(found: Plan, role: Role) -> dict[str, list[str]]:
    tools: dict[str, list[str]] = {}
    for step in found.steps:
        if step.role is role:
            tools.setdefault(step.endpoint, []).append(step.use.tool)
    return tools


def test_the_named_endpoint_is_the_suspect_and_one_that_keeps_nothing_is_the_control() -> None:
    found = planned(App(endpoints=six(cart_add=LEAK)))
    assert found.cause is Cause.LEAK_OBJECTS
    assert by_role(found, Role.SUSPECT) == {"cart_add": ["kept", "holders", "lines"]}
    [control] = by_role(found, Role.CONTROL)
    assert control != "cart_add"
    assert by_role(found, Role.CONTROL)[control] == ["kept", "holders"]  # what follows needs a suspect's places
    [expected] = {step.expected for step in found.steps if step.role is Role.SUSPECT}
    assert expected == pytest.approx(10_240, rel=0.15)


def test_the_control_comes_first_and_what_follows_comes_last() -> None:
    steps = planned(App(endpoints=six(cart_add=LEAK))).steps
    assert [s.role for s in steps[:2]] == [Role.CONTROL, Role.CONTROL]
    assert [s.use.follows for s in steps] == [False] * (len(steps) - 1) + [True]


def test_single_requests_say_whom_to_profile_where_the_only_worker_tells_nothing() -> None:
    alone = App(flows=True, workers=1, rounds=12, endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 60}))
    found = planned(alone)
    assert found.cause is Cause.LEAK_OBJECTS
    assert set(by_role(found, Role.SUSPECT)) == {"cart_add"}
    assert "live allocations certainly rise around its single requests" in found.reasons[0]


def test_two_guilty_endpoints_are_both_suspects() -> None:
    found = planned(App(endpoints=six(cart_add=LEAK, login=LEAK)))
    assert set(by_role(found, Role.SUSPECT)) == {"cart_add", "login"}
    assert not set(by_role(found, Role.CONTROL)) & {"cart_add", "login"}


def test_there_are_never_more_suspects_than_allowed() -> None:
    found = planned(App(endpoints=six(home=LEAK, cart_add=LEAK, login=LEAK)), suspects=2)
    assert len(by_role(found, Role.SUSPECT)) == 2


def test_a_healthy_run_gets_one_cheap_control() -> None:
    found = planned(App())
    assert found.cause is Cause.HEALTHY
    assert by_role(found, Role.SUSPECT) == {}
    [(_, tools)] = by_role(found, Role.CONTROL).items()
    assert tools == ["default"]
    assert "nothing grows" in found.reasons[0]


def test_only_endpoints_that_may_be_profiled_are() -> None:
    found = planned(App(endpoints=six(cart_add=LEAK)), allowed=["home", "login"])
    assert {step.endpoint for step in found.steps} <= {"home", "login"}


def test_with_a_single_endpoint_there_is_no_control() -> None:
    app = App(endpoints=(Endpoint("only", leak_bytes=10_240, leak_blocks=5),))
    found = planned(app)
    assert {step.role for step in found.steps} == {Role.SUSPECT}


def test_nothing_to_ask_for_is_a_plan_without_steps_that_says_so() -> None:
    found = planned(App(endpoints=six(cart_add=LEAK)), allowed=[])
    assert found.steps == ()
    assert "no endpoint" in found.reasons[0]


def test_each_step_says_why() -> None:
    for step in planned(App(endpoints=six(cart_add=LEAK))).steps:
        assert step.endpoint in step.reason
