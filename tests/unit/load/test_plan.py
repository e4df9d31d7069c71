from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.load.plan import CapturePlan, CheckPlan, LoadPlan, RequestPlan

HOME = RequestPlan("home", "/")
CSRF = CapturePlan("csrf", "home", regex=r"v=(\w+)")
LOGIN = RequestPlan(
    name="login",
    path="/login?next=${next}",
    method="POST",
    once=True,
    headers=(("x-a", "1"), ("x-a", "2")),
    cookies=(("c", "${secret}"),),
    query=(("q", "1"),),
    form=(("csrf", "${csrf}"),),
    captures=(CSRF,),
    checks=CheckPlan(statuses=(200, 302), contains=("hello",), not_contains=("error",), max_latency_ns=5),
    follow_redirects=True,
    timeout_s=1.5,
)
PLAN = LoadPlan(
    base_url="https://127.0.0.1:8443/app",
    requests=(HOME, LOGIN, RequestPlan("api", "/api", weight=0.5, json={"a": ["${csrf}", 1, None]})),
    users=3,
    seed=9,
    headers=(("x-b", "b"),),
    verify=False,
    variables={"secret": "s", "next": "/"},
)


def wire(plan: LoadPlan) -> Any:
    return json.loads(json.dumps(plan.to_json()))


def test_survives_the_pipe() -> None:
    assert LoadPlan.from_json(wire(PLAN)) == PLAN


def test_defaults_may_be_left_out() -> None:
    short = {"base_url": "http://h", "requests": [{"name": "home", "path": "/"}]}
    assert LoadPlan.from_json(short) == LoadPlan("http://h", (HOME,))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["surprise"], 1, r"plan\.surprise: unknown field"),
        (["users"], True, r"plan\.users: must be an integer"),
        (["users"], 0, "users: must be at least 1"),
        (["timeout_s"], "1", r"plan\.timeout_s: must be a number"),
        (["timeout_s"], -1, "timeout_s: must be above 0"),
        (["base_url"], "ftp://x", "base_url"),
        (["base_url"], "http://x:99999", "base_url"),
        (["base_url"], "http://u@x", "base_url"),
        (["headers"], [["a"]], r"plan\.headers\[0\]: must be a pair"),
        (["headers"], [["a b", ""]], "'a b' is not a header name"),
        (["variables"], {"a": 1}, r"plan\.variables: must be an object of texts"),
        (["requests"], [], "at least one"),
        (["requests"], {}, r"plan\.requests: must be a list"),
        (["requests", 0], 1, r"plan\.requests\[0\]: must be an object"),
        (["requests", 0, "name"], None, r"requests\[0\]\.name: must be a text"),
        (["requests", 0, "name"], "api", "two are called 'api'"),
        (["requests", 0, "name"], "n" * 201, "200 characters"),
        (["requests", 0, "weight"], 0, "weight must be above 0"),
        (["requests", 0, "path"], "home", "path must start with '/'"),
        (["requests", 0, "path"], "/${", "without a variable name"),
        (["requests", 0, "path"], "/${nobody}", r"\$\{nobody\} is captured nowhere"),
        (["requests", 0, "method"], "GE T", "is not a method"),
        (["requests", 0, "body"], "${x", "without a variable name"),
        (["requests", 1, "body"], "x", "at most one of form, json and body"),
        (["requests", 1, "checks", "statuses"], ["200"], r"checks\.statuses\[0\]: must be an integer"),
        (["requests", 1, "checks", "more"], 1, r"checks\.more: unknown field"),
        (["requests", 1, "captures", 0, "source"], "nobody", "no request 'nobody' to capture from"),
        (["requests", 1, "captures", 0, "source"], "login", "from its own response"),
        (["requests", 1, "captures", 0, "regex"], "(", "regex: "),
        (["requests", 1, "captures", 0, "group"], 2, "no group 2"),
        (["requests", 1, "captures", 0, "header"], "x", "one of regex, header and json"),
        (["requests", 1, "captures", 0, "variable"], "a-b", "is not a name"),
    ],
)
def test_names_what_is_wrong(path: list[str | int], value: object, message: str) -> None:
    data = wire(PLAN)
    *parents, last = path
    at = data
    for key in parents:
        at = at[key]
    at[last] = value
    with pytest.raises(ValueError, match=message):
        LoadPlan.from_json(data)


def test_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"plan\.requests\[0\]\.path: is missing"):
        LoadPlan.from_json({"base_url": "http://h", "requests": [{"name": "home"}]})
    with pytest.raises(ValueError, match="plan: must be an object"):
        LoadPlan.from_json([])


def test_a_request_without_declaration_uses_the_only_capture() -> None:
    assert PLAN.needs(PLAN.requests[2]) == {"csrf": CSRF}


def test_its_own_declaration_wins_and_strangers_must_choose() -> None:
    other = replace(CSRF, source="form")
    form = RequestPlan("form", "/form")
    edit = RequestPlan("edit", "/e", body="${csrf}", captures=(other,))
    plan = replace(PLAN, requests=(HOME, form, LOGIN, edit))
    assert plan.needs(edit) == {"csrf": other}
    with pytest.raises(ValueError, match="several ways"):
        replace(PLAN, requests=(*plan.requests, RequestPlan("third", "/${csrf}")))


def test_circles_are_refused() -> None:
    a = RequestPlan("a", "/${x}", captures=(CapturePlan("x", "b", header="x"),))
    b = RequestPlan("b", "/${y}", captures=(CapturePlan("y", "a", header="y"),))
    with pytest.raises(ValueError, match="from its own response"):
        LoadPlan("http://h", (a, b))


def test_a_plan_of_only_once_requests_has_no_rounds() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LoadPlan("http://h", (replace(HOME, once=True),))
