from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.load.plan import CapturePlan, LoadPlan, RequestPlan
from harness.load.render import CompiledPlan, Prepared, compile_plan

SOURCE = RequestPlan("source", "/source")


def compiled(request: RequestPlan, **variables: str) -> CompiledPlan:
    return compile_plan(LoadPlan("http://h", (SOURCE, request), headers=(("X-All", "1"),), variables=variables))


def render(request: RequestPlan, **variables: str) -> Prepared:
    return compiled(request, **variables).requests[1].render({})


def with_value(request: RequestPlan, value: str) -> Prepared:
    request = replace(request, captures=(CapturePlan("v", "source", header="x"),))
    return compiled(request).requests[1].render({"v": value})


def test_headers_of_plan_and_request() -> None:
    prepared = render(RequestPlan("r", "/", headers=(("User-Agent", "me/${n}"), ("Host", "shop"))), n="2")
    assert dict(prepared.headers) == {
        "accept": "*/*", "user-agent": "me/2", "accept-encoding": "identity", "x-all": "1", "host": "shop"
    }  # fmt: skip
    assert (prepared.method, prepared.target, prepared.body) == ("GET", b"/", b"")


def test_constant_requests_are_rendered_once() -> None:
    request = compiled(RequestPlan("r", "/${n}"), n="2").requests[1]
    assert request.render({}) is request.render({})


def test_query_is_added_and_encoded() -> None:
    prepared = render(RequestPlan("r", "/a b?x=1", query=(("q", "ä&b"), ("q", "2"))))
    assert prepared.target == b"/a%20b?x=1&q=%C3%A4%26b&q=2"
    assert prepared.path == "/a%20b"


def test_form() -> None:
    prepared = render(RequestPlan("r", "/", method="POST", form=(("a", "x y"), ("b", "${s}"))), s="&=")
    assert prepared.body == b"a=x+y&b=%26%3D"
    headers = dict(prepared.headers)
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["content-length"] == "14"


def test_json_keeps_its_shape() -> None:
    prepared = render(RequestPlan("r", "/", method="POST", json={"a": ["${s}", 1, None, True], "${s}": 2}), s='"x"')
    assert json.loads(prepared.body) == {"a": ['"x"', 1, None, True], "${s}": 2}
    assert dict(prepared.headers)["content-type"] == "application/json"


def test_body_and_its_length() -> None:
    prepared = render(RequestPlan("r", "/", method="PUT", body="é", headers=(("Content-Type", "text/x"),)))
    assert (prepared.body, dict(prepared.headers)["content-length"]) == ("é".encode(), "2")
    assert dict(render(RequestPlan("r", "/", method="POST")).headers)["content-length"] == "0"


@pytest.mark.parametrize(
    ("path", "value", "target"),
    [
        ("/x/${v}", "a/b?c=d&e=%20", b"/x/a/b?c=d&e=%20"),
        ("/x?y=${v}", "sp ace#\r\nHost: evil", b"/x?y=sp%20ace%23%0D%0AHost:%20evil"),
        ("${v}", "@evil.example", b"/@evil.example"),
        ("${v}", "http://evil.example/", b"/http://evil.example/"),
    ],
)
def test_captured_values_stay_in_the_path(path: str, value: str, target: bytes) -> None:
    assert with_value(RequestPlan("r", path), value).target == target


def test_captures_are_shared_and_numbered() -> None:
    capture = CapturePlan("v", "source", regex="(.)", fresh=True)
    a = RequestPlan("a", "/${v}", captures=(capture,))
    b = RequestPlan("b", "/${v}", once=True)
    plan = compile_plan(LoadPlan("http://h", (SOURCE, a, b)))
    assert [need.capture for need in plan.requests[1].needs] == [need.capture for need in plan.requests[2].needs] == [0]
    assert [index for index, _ in plan.requests[0].provides] == [0]
    assert plan.requests[0].keep_body
    assert not plan.requests[1].keep_body
    assert (plan.weighted, plan.once, plan.weights) == ((0, 1), (2,), (1.0, 1.0))
