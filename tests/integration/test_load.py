"""The load generator as the session runs it: a process, its pipes, and a real HTTP server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from load_process import Load, Target, until
from processes import DEADLINE_S, free_port

from harness.load.plan import CapturePlan, CheckPlan, LoadPlan, RequestPlan

pytestmark = pytest.mark.integration


HOME = RequestPlan("home", "/")
FORM = RequestPlan("form", "/login")
CSRF = CapturePlan("csrf", "form", regex='name="csrf" value="([^"]+)"')
LOGIN = RequestPlan(
    name="login",
    path="/login",
    method="POST",
    once=True,
    form=(("user", "ann"), ("password", "${PASSWORD}"), ("csrf", "${csrf}")),
    captures=(CSRF,),
    checks=CheckPlan(statuses=(302,)),
)
PRIVATE = RequestPlan("private", "/private", checks=CheckPlan(contains=("hello ann",)))


STAGE = {"cmd": "stage", "phase": "rounds", "rate_from": 1, "rate_to": 1, "seconds": 99, "max_in_flight": 1}


@pytest.fixture(name="target")
def _target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()


ENGINES: dict[str, dict[str, object]] = {
    "builtin": {},
    "locust": {"engine": "locust", "options": {"workers": 2}},
}
# What a scenario says is the same whoever sends it.
BY_ALL = pytest.mark.parametrize("start", ENGINES, indirect=True)


@pytest.fixture(name="start")
def _start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Load]]:
    engine = ENGINES[getattr(request, "param", "builtin")]
    with ExitStack() as stack:

        def start(plan: LoadPlan | None = None) -> Load:
            load = Load(plan, **engine)
            stack.callback(load.finish)
            return load

        yield start


# -- rounds ----------------------------------------------------------------------------------------------------------------


@BY_ALL
def test_rounds_repeat_exactly_and_the_server_sees_every_span(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (HOME, RequestPlan("no page", "/none", weight=3.0)), users=3))
    rounds = [load.round(number, requests=40, blocks=4) for number in range(3)]
    for spans in rounds:
        assert Counter(span["endpoint"] for span in spans) == {"home": 10, "no page": 30}
        assert sorted(Counter(span["block"] for span in spans).values()) == [5, 8, 12, 15]  # which is which is drawn
        assert {span["user"] for span in spans} <= {0, 1, 2}
        assert all(span["failed"] == (["status"] if span["endpoint"] == "no page" else []) for span in spans)
    assert len({tuple(span["endpoint"] for span in spans) for spans in rounds}) == 3  # but not in the same order
    sent = [entry["headers"]["traceparent"].split("-") for entry in target.log()]
    assert Counter(part[2] for part in sent) == Counter(span["span_id"] for span in load.spans)
    assert all((part[0], len(part[1]), part[3]) == ("00", 32, "01") for part in sent)
    assert len({part[1] for part in sent}) == 120
    assert load.finish() == 0
    assert load.stderr == ""


@BY_ALL
def test_nothing_moves_between_blocks(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (HOME,), users=2))
    load.send(cmd="round", phase="warmup", round=0, requests=10, blocks=2)
    block = load.wait("block")
    assert (block["round"], block["block"]) == (0, 0)
    assert len(load.spans) == 5
    assert all(block["start"] <= span["start"] <= span["end"] <= block["end"] for span in load.spans)
    load.wait("health")
    load.wait("health")  # a second or more without traffic
    assert len(target.log()) == 5
    load.send(cmd="continue")
    second = load.wait("block")
    load.send(cmd="continue")
    done = load.wait("round")
    assert (len(load.spans), load.spans[0]["phase"]) == (10, "warmup")
    assert done["start"] <= block["start"] <= block["end"] <= second["start"] <= second["end"] <= done["end"]


@BY_ALL
def test_login_happens_once_per_user_in_the_first_round(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (FORM, LOGIN, PRIVATE), users=3, variables={"PASSWORD": "s3cret"}))
    first = load.round(0, requests=20, blocks=2, phase="warmup")
    assert not [span for span in first if span["failed"] or span["error"]]
    count = Counter(span["endpoint"] for span in first)
    assert count == {"login": 3, "form": 10 + 3, "private": 10}
    assert {span["user"] for span in first if span["endpoint"] == "login"} == {0, 1, 2}
    assert all(span["block"] == 0 for span in first if span["endpoint"] == "login")
    second = load.round(1, requests=20, blocks=2)
    assert Counter(span["endpoint"] for span in second) == {"form": 10, "private": 10}
    assert not [span for span in second if span["failed"] or span["error"]]


@BY_ALL
def test_a_failing_login_is_tried_three_times(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (FORM, LOGIN, PRIVATE), users=1, variables={"PASSWORD": "wrong"}))
    spans = load.round(0, requests=10)
    assert Counter(span["endpoint"] for span in spans)["login"] == 3
    assert all(span["failed"] == ["status"] for span in spans if span["endpoint"] == "login")
    assert all(span["failed"] == ["status", "contains"] for span in spans if span["endpoint"] == "private")


@BY_ALL
def test_fresh_captures_are_fetched_for_every_use(target: Target, start: Callable[..., Load]) -> None:
    item = RequestPlan("item", "/item", weight=1e-6)
    store = RequestPlan(
        name="store",
        path="/item",
        method="POST",
        json={"id": "${id}", "n": 1},
        captures=(CapturePlan("id", "item", json="items.0.id", fresh=True),),
        checks=CheckPlan(statuses=(201,)),
    )
    load = start(LoadPlan(target.url, (item, store), users=2))
    spans = load.round(0, requests=6)
    assert Counter(span["endpoint"] for span in spans) == {"item": 6, "store": 6}
    assert not [span for span in spans if span["failed"] or span["error"]]
    bodies = [json.loads(entry["body"]) for entry in target.log() if entry["method"] == "POST"]
    assert sorted(int(body["id"]) for body in bodies) == [1, 2, 3, 4, 5, 6]


@BY_ALL
def test_a_value_that_was_not_there_is_an_error_not_a_request(target: Target, start: Callable[..., Load]) -> None:
    use = RequestPlan("use", "/x/${token}", captures=(CapturePlan("token", "home", header="x-token"),))
    load = start(LoadPlan(target.url, (HOME, use), users=1))
    spans = load.round(0, requests=2)
    assert [span["error"] for span in spans if span["endpoint"] == "use"] == ["no value for ${token}"]
    assert {entry["target"] for entry in target.log()} == {"/"}


@BY_ALL
def test_what_is_sent_is_what_the_plan_says(target: Target, start: Callable[..., Load]) -> None:
    request = RequestPlan(
        name="all",
        path="/search page",
        method="PUT",
        headers=(("Host", "shop.test"), ("X-Key", "${KEY}")),
        cookies=(("lang", "de"),),
        query=(("q", "a&b"),),
        body="text ${KEY}",
    )
    plan = LoadPlan(target.url + "/app/", (request,), headers=(("Accept", "text/html"),), variables={"KEY": "k1"})
    start(plan).round(0, requests=1)
    (entry,) = target.log()
    assert (entry["method"], entry["target"], entry["body"]) == ("PUT", "/app/search%20page?q=a%26b", "text k1")
    headers = entry["headers"]
    assert headers.pop("traceparent")
    assert headers == {
        "host": "shop.test", "accept": "text/html", "user-agent": "profiling-harness", "accept-encoding": "identity",
        "content-length": "7", "x-key": "k1", "cookie": "lang=de",
    }  # fmt: skip


@BY_ALL
def test_checks_look_at_the_kept_part_of_the_body(target: Target, start: Callable[..., Load]) -> None:
    requests = (
        RequestPlan("small", "/size?n=1000", checks=CheckPlan(contains=("last",), not_contains=("none",))),
        RequestPlan("big", "/size?n=3000000", checks=CheckPlan(contains=("last",))),
        RequestPlan("bad", "/", checks=CheckPlan(statuses=(201,), contains=("x1",), not_contains=("welcome",), max_latency_ns=1)),
    )  # fmt: skip
    spans = {span["endpoint"]: span for span in start(LoadPlan(target.url, requests)).round(0, requests=3)}
    assert (spans["small"]["failed"], spans["small"]["body_bytes"]) == ([], 1000)
    assert (spans["big"]["failed"], spans["big"]["body_bytes"]) == (["contains"], 3_000_000)
    assert spans["bad"]["failed"] == ["status", "contains", "not_contains", "latency"]


@BY_ALL
def test_redirects_are_followed_on_request_only(target: Target, start: Callable[..., Load]) -> None:
    requests = (
        RequestPlan("stay", "/redirect?to=/private"),
        RequestPlan("go", "/redirect?to=/private", method="POST", body="x", follow_redirects=True, cookies=(("session", "bob"),)),
    )  # fmt: skip
    spans = {span["endpoint"]: span for span in start(LoadPlan(target.url, requests)).round(0, requests=2)}
    assert (spans["stay"]["status"], spans["go"]["status"], spans["go"]["failed"]) == (302, 200, [])
    hops = [entry for entry in target.log() if entry["headers"]["traceparent"].split("-")[2] == spans["go"]["span_id"]]
    assert [(hop["method"], hop["body"]) for hop in hops] == [("POST", "x"), ("GET", "")]
    assert "content-length" not in hops[1]["headers"]
    assert sorted(hops[1]["headers"]["cookie"].split("; ")) == ["hop=1", "session=bob"]


# -- trouble ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/silence", None, "read timeout"),
        ("/garbage", None, "protocol error: illegal status line"),
        ("/drop?always=1", None, "connection closed without a response"),
        ("/truncated", 200, "protocol error: peer closed connection without sending complete message body"),
        ("/redirect?to=/redirect%3Fto%3D/", 200, None),
        ("/redirect?to=http://127.0.0.2/", 302, "redirect to another host"),
        ("/redirect?to=//example.org", 302, "redirect to another host"),
        ("/size?n=70000000", 200, "body too large"),
    ],
)  # fmt: skip
def test_errors_have_short_names(
    target: Target, start: Callable[..., Load], path: str, status: int | None, error: str | None
) -> None:
    request = RequestPlan("bad", path, follow_redirects=True, timeout_s=0.5 if path == "/silence" else 30)
    load = start(LoadPlan(target.url, (request, HOME), users=1))
    spans = load.round(0, requests=4)
    assert [(s["status"], s["error"]) for s in spans if s["endpoint"] == "bad"] == [(status, error)] * 2
    assert [(s["status"], s["error"]) for s in spans if s["endpoint"] == "home"] == [(200, None)] * 2


@BY_ALL
def test_redirects_to_the_name_in_the_host_header_stay_with_the_server(
    target: Target, start: Callable[..., Load]
) -> None:
    request = RequestPlan(
        "go", "/redirect?to=https://shop.test/", headers=(("Host", "shop.test"),), follow_redirects=True
    )
    (span,) = start(LoadPlan(target.url, (request,))).round(0, requests=1)
    assert (span["status"], span["error"]) == (200, None)
    assert [entry["headers"]["host"] for entry in target.log()] == ["shop.test"] * 2


@BY_ALL
def test_credentials_stay_with_the_server_they_are_for(target: Target, start: Callable[..., Load]) -> None:
    other = Target()
    try:
        path = f"/redirect?to=http://127.0.0.1:{other.port}/"
        request = RequestPlan("go", path, headers=(("Authorization", "Basic x"),), follow_redirects=True)
        (span,) = start(LoadPlan(target.url, (request,))).round(0, requests=1)
        assert span["status"] == 200
        assert "authorization" in target.log()[0]["headers"]
        assert "authorization" not in other.log()[0]["headers"]
    finally:
        other.close()


@BY_ALL
def test_a_header_that_cannot_be_sent_is_not_repeated_in_the_error(target: Target, start: Callable[..., Load]) -> None:
    request = RequestPlan("bad", "/", headers=(("X-Key", "${KEY}"),))
    load = start(LoadPlan(target.url, (request, HOME), variables={"KEY": "hush\nhush"}))
    spans = load.round(0, requests=4)
    assert {span["error"] for span in spans if span["endpoint"] == "bad"} == {"invalid request: Illegal header value"}
    assert {span["status"] for span in spans if span["endpoint"] == "home"} == {200}


@BY_ALL
def test_cookies_go_back_byte_for_byte_and_hostile_values_do_no_harm(
    target: Target, start: Callable[..., Load]
) -> None:
    use = RequestPlan(
        "use", "/none?v=${v}", captures=(CapturePlan("v", "odd", json="v"),), checks=CheckPlan(statuses=(404,))
    )
    load = start(LoadPlan(target.url, (RequestPlan("odd", "/odd"), use), users=1))
    spans = load.round(0, requests=4)
    assert not [span for span in spans if span["failed"] or span["error"]]
    last = target.log()[-1]
    assert last["headers"]["cookie"] == "odd=caf\xe9"  # the server reads headers as Latin-1, too
    assert {entry["target"] for entry in target.log()} == {"/odd", "/none?v=?%00"}


@BY_ALL
def test_endless_redirects_end(target: Target, start: Callable[..., Load]) -> None:
    request = RequestPlan("loop", "/loop", follow_redirects=True)
    spans = start(LoadPlan(target.url, (request,))).round(0, requests=1)
    assert [(s["status"], s["error"]) for s in spans] == [(302, "too many redirects")]
    assert len(target.log()) == 11


@BY_ALL
def test_refused_connections(start: Callable[..., Load]) -> None:
    load = start(LoadPlan(f"http://127.0.0.1:{free_port()}", (HOME,), users=2))
    spans = load.round(0, requests=6)
    assert [(span["status"], span["error"]) for span in spans] == [(None, "connection refused")] * 6


@BY_ALL
def test_names_that_do_not_resolve(start: Callable[..., Load]) -> None:
    (span,) = start(LoadPlan("http://nowhere.invalid", (HOME,))).round(0, requests=1)
    assert span["error"].startswith("cannot connect: ")


@BY_ALL
def test_connect_timeout_and_recovery(start: Callable[..., Load]) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [stack.enter_context(socket.socket()) for _ in range(3)]
        for filler in fillers:  # once the queue of connections is full, Linux ignores further ones
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        load = start(LoadPlan(f"http://127.0.0.1:{port}", (HOME,), timeout_s=0.3))
        spans = load.round(0, requests=3)
        assert [span["error"] for span in spans] == ["connect timeout"] * 3


@BY_ALL
def test_only_repeatable_requests_are_repeated_when_a_kept_connection_was_closed(
    target: Target, start: Callable[..., Load]
) -> None:
    get = start(LoadPlan(target.url, (RequestPlan("get", "/drop"),)))
    assert [span["error"] for span in get.round(0, requests=4)] == [None] * 4
    while get.health.get("retried") != 3:  # with several processes it takes a while until all have told
        get.next()
    post = start(LoadPlan(target.url, (RequestPlan("post", "/drop", method="POST"),)))
    lost = "connection closed without a response"
    assert [span["error"] for span in post.round(0, requests=4)] == [None, lost, None, lost]
    post.wait("health")
    assert post.health["retried"] == 0


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@BY_ALL
def test_tls(certificate: Path, start: Callable[..., Load]) -> None:
    target = Target(str(certificate))
    try:
        url = f"https://127.0.0.1:{target.port}"
        (span,) = start(LoadPlan(url, (HOME,))).round(0, requests=1)
        assert (span["status"], span["error"]) == (None, "tls: CERTIFICATE_VERIFY_FAILED")
        for plan in (LoadPlan(url, (HOME,), verify=False), LoadPlan(url, (HOME,), ca_file=str(certificate))):
            spans = start(plan).round(0, requests=2)
            assert [(span["status"], span["error"]) for span in spans] == [(200, None)] * 2
    finally:
        target.close()


# -- stages ----------------------------------------------------------------------------------------------------------------


@BY_ALL
def test_latency_counts_from_the_intended_start_when_the_server_stalls(
    target: Target, start: Callable[..., Load]
) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("gate", "/gate"),), users=2))
    target.get("/gate?set=closed")
    load.stage(rate_from=50, rate_to=50, seconds=0.5, max_in_flight=100)
    until(lambda: sum(entry["target"] == "/gate" for entry in target.log()) == 25)  # a stall holds nobody back
    opened_ns = time.monotonic_ns()
    target.get("/gate?set=open")
    done = load.wait("stage")
    assert (done["planned"], done["dropped"], len(load.spans)) == (25, 0, 25)
    intended = sorted(span["intended"] for span in load.spans)
    assert [t - done["start"] for t in intended] == [i * 20_000_000 for i in range(25)]
    for span in load.spans:
        assert span["intended"] <= span["start"] < opened_ns <= span["end"] <= done["end"]
    assert load.spans[0]["round"] is None


@BY_ALL
def test_beyond_max_in_flight_arrivals_are_dropped_and_counted(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("gate", "/gate"),), users=1))
    target.get("/gate?set=closed")
    load.stage(rate_from=200, rate_to=100, seconds=0.4, max_in_flight=5)
    while load.health.get("dropped") != 55:
        load.next()
    assert load.health["in_flight"] == 5
    target.get("/gate?set=open")
    done = load.wait("stage")
    assert (done["planned"], done["dropped"], len(load.spans)) == (60, 55, 5)
    assert len({span["user"] for span in load.spans}) == 5


@BY_ALL
def test_a_stage_lasts_as_long_as_it_says_and_leaves_rounds_their_concurrency(
    target: Target, start: Callable[..., Load]
) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("gate", "/gate"),), users=1))
    target.get("/gate?set=closed")
    load.stage(rate_from=50, rate_to=0, seconds=0.4, max_in_flight=10)
    until(lambda: len(target.log()) == 11)
    target.get("/gate?set=open")
    done = load.wait("stage")
    assert done["end"] - done["start"] >= 400_000_000
    assert len({span["user"] for span in load.spans}) == 10
    assert {span["user"] for span in load.round(0, requests=30)} == {0}


@BY_ALL
def test_users_of_a_stage_are_logged_in(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (FORM, LOGIN, PRIVATE), users=2, variables={"PASSWORD": "s3cret"}))
    load.stage(rate_from=0, rate_to=100, seconds=0.4, max_in_flight=50)
    done = load.wait("stage")
    scheduled = [span for span in load.spans if span["intended"] is not None]
    assert (done["planned"], len(scheduled), done["dropped"]) == (20, 20, 0)
    assert not [span for span in load.spans if span["failed"] or span["error"]]
    logins = [span for span in load.spans if span["endpoint"] == "login"]
    assert len(logins) == len({span["user"] for span in load.spans})


# -- one request alone -----------------------------------------------------------------------------------------------------


@BY_ALL
def test_one_request_with_additions_as_a_logged_in_user(target: Target, start: Callable[..., Load]) -> None:
    private = RequestPlan("private", "/private", headers=(("x-mode", "plain"),))
    load = start(LoadPlan(target.url, (FORM, LOGIN, private), variables={"PASSWORD": "s3cret"}))
    span, headers = load.one("private", headers={"X-Mode": "traced"}, cookies={"trigger": "t"})
    assert (span["phase"], span["round"], span["status"], span["failed"]) == ("profiled", None, 200, [])
    assert headers["x-who"] == "ann"
    assert Counter(s["endpoint"] for s in load.spans) == {"form": 1, "login": 1}  # the one itself is in the answer only
    entry = target.log()[-1]
    assert entry["headers"]["x-mode"] == "traced"
    assert sorted(entry["headers"]["cookie"].split("; ")) == ["csrf=1", "session=ann", "trigger=t"]


def test_one_request_to_another_server(target: Target, start: Callable[..., Load]) -> None:
    other = Target()
    try:
        load = start(LoadPlan(target.url, (FORM, LOGIN, PRIVATE), variables={"PASSWORD": "s3cret"}))
        span, _ = load.one("private", headers={}, cookies={}, base_url=other.url + "/deep")
        assert span["status"] == 404
        assert [entry["target"] for entry in other.log()] == ["/deep/private"]
        assert other.log()[0]["headers"]["cookie"] == "csrf=1; session=ann"
        assert load.one("private")[0]["status"] == 200
    finally:
        other.close()


def test_one_does_not_follow_redirects(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("go", "/redirect?to=/", follow_redirects=True),)))
    span, headers = load.one("go")
    assert (span["status"], headers["location"]) == (302, "/")


# -- life and death --------------------------------------------------------------------------------------------------------


@BY_ALL
def test_cancel_lets_requests_in_flight_finish(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("gate", "/gate"),), users=3))
    target.get("/gate?set=closed")
    load.send(cmd="round", phase="rounds", round=0, requests=1000, blocks=2)
    until(lambda: len(target.log()) == 4)  # three users and our own
    load.send(cmd="cancel")
    load.wait("health")
    target.get("/gate?set=open")
    load.wait("round")
    assert [(span["status"], span["error"]) for span in load.spans] == [(200, None)] * 3
    assert len(load.round(1, requests=5)) == 5


@BY_ALL
def test_cancel_ends_the_wait_for_continue_and_a_stage(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (HOME,)))
    load.send(cmd="round", phase="rounds", round=0, requests=2, blocks=2)
    load.wait("block")
    load.send(cmd="cancel")
    load.wait("round")
    assert len(load.spans) == 1
    load.stage(rate_from=1, rate_to=1, seconds=1000, max_in_flight=1)
    load.wait("spans")
    load.send(cmd="cancel")
    done = load.wait("stage")
    assert (done["planned"], done["dropped"]) == (1000, 0)
    assert len(load.spans) < 1000


@pytest.mark.parametrize("how", ["end of file", "stop"])
def test_ends_at_once_whatever_is_in_flight(target: Target, start: Callable[..., Load], how: str) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("never", "/silence"),), users=4, timeout_s=1000))
    load.send(cmd="round", phase="rounds", round=0, requests=100, blocks=1)
    until(lambda: len(target.log()) == 4)
    if how == "stop":
        load.send(cmd="stop")
        assert load.process.wait(DEADLINE_S) == 0
    assert load.finish() == 0
    assert load.stderr == ""
    assert [span["error"] for span in load.spans] == ["cancelled"] * 4


def test_interrupts_are_the_sessions_business(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (HOME,)))
    os.kill(load.process.pid, signal.SIGINT)
    assert len(load.round(0, requests=5)) == 5
    assert load.finish() == 0


def test_a_session_that_vanished_with_its_pipes(target: Target) -> None:
    plan = LoadPlan(target.url, (RequestPlan("fast", "/fast"),))
    round_ = {"cmd": "round", "phase": "rounds", "round": 0, "requests": 1_000_000, "blocks": 1}
    argv = [sys.executable, "-m", "harness.load"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for command in ({"cmd": "plan", "plan": plan.to_json()}, round_):
            process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()
        while json.loads(process.stdout.readline())["k"] != "spans":
            pass
        process.stdout.close()
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("commands", "text"),
    [
        ([{"cmd": "plan", "plan": {"base_url": "http://x", "requests": [{"name": "a"}]}}], "plan.requests[0].path: is missing"),
        ([{"cmd": "round"}], "command 'round' before the plan"),
        ([{"cmd": "PLAN"}, {"cmd": "PLAN"}], "a second plan"),
        ([{"cmd": "PLAN"}, {"cmd": "dance", "phase": "rounds"}], "unknown command 'dance'"),
        ([{"cmd": "PLAN"}, {"cmd": "round", "phase": "rounds", "round": 0, "requests": 0, "blocks": 1}],
         "command.requests: must not be 0"),
        ([{"cmd": "PLAN"}, {"cmd": "one", "phase": "profiled", "id": 1, "endpoint": "x"}], "there is no request 'x'"),
        ([{"cmd": "PLAN"}, {"cmd": "one", "phase": "party", "id": 1, "endpoint": "x"}], "'party' is not a valid PhaseName"),
        ([{"cmd": "PLAN"}, STAGE, STAGE], "command 'stage' while another one is being carried out"),
        ([[]], "command: must be an object"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_and_ends_it(start: Callable[..., Load], commands: list[Any], text: str) -> None:
    load = start()
    plan = LoadPlan(f"http://127.0.0.1:{free_port()}", (HOME,)).to_json()
    assert load.process.stdin
    for command in commands:
        line = {"cmd": "plan", "plan": plan} if command == {"cmd": "PLAN"} else command
        load.process.stdin.write(json.dumps(line).encode() + b"\n")
    load.process.stdin.flush()
    while (line := load.next()) is not None and line["k"] != "error":
        assert line["k"] in {"ready", "spans", "health"}
    assert line is not None
    assert line["text"] == text
    assert load.process.wait(DEADLINE_S) == 1
    load.finish()
    assert load.stderr == ""


def test_a_slow_reader_holds_traffic_back_instead_of_growing_a_queue(
    target: Target, start: Callable[..., Load]
) -> None:
    """While the session reads nothing, requests stop once the pipe and a bounded buffer are full; none is lost after it."""
    load = start(LoadPlan(target.url, (RequestPlan("x" * 200, "/none"),), users=2))
    load.reading.clear()
    load.send(cmd="round", phase="rounds", round=0, requests=100_000, blocks=1)
    counts = [0]

    def settled() -> bool:
        time.sleep(0.1)  # no event says that nothing happens
        counts.append(len(target.log()))
        return counts[-1] > 500 and counts[-8:] == [counts[-1]] * 8

    until(settled)
    assert counts[-1] < 5000
    load.send(cmd="cancel")
    load.reading.set()
    load.wait("round")
    assert len(load.spans) == len(target.log())


def test_memory_stays_flat(target: Target, start: Callable[..., Load]) -> None:
    """30 000 requests of all kinds; a span kept by mistake would cost ten times the bound."""
    wrong = RequestPlan("wrong", "/none", query=(("t", "${csrf}"),))
    store = RequestPlan("store", "/item", method="POST", json={"id": "${csrf}"}, captures=(CSRF,), weight=2)
    plan = LoadPlan(target.url, (RequestPlan("fast", "/fast", weight=10), FORM, store, wrong), users=8)
    load = start(plan)

    def rss_bytes() -> int:
        load.health = {}
        while not load.health:
            load.next()
        rss: int = load.health["rss"]
        return rss

    load.round(0, requests=5000, phase="warmup")
    before = rss_bytes()
    for number in range(1, 7):
        load.round(number, requests=5000, blocks=4)
        load.spans.clear()
    assert rss_bytes() - before < 30_000 * 32
