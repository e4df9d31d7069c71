"""Whole files: what is read, and every mistake at once with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.expect import parse_expectation
from harness.scenario.fields import Amount, Rate
from harness.scenario.load import (
    CommandLoad,
    EachRoundLoad,
    EngineStagesLoad,
    LocustfileLoad,
    ObserveLoad,
    RoundsLoad,
    StagesLoad,
)
from harness.scenario.reader import MAX_PROBLEMS, parse_scenario, read_scenario, warnings_of
from harness.scenario.schema import Scenario

FILES = Path(__file__).with_name("files")
GOOD = """\
name: shop
target:
  runtime: python
  launch: gunicorn shop.wsgi -b 127.0.0.1:8000
  ready: http://127.0.0.1:8000/health
requests:
  - {name: home, get: /}
"""


def mistakes(text: str) -> list[str]:
    """Problems without the file's name: ``line: text``."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, Path("s.yaml"))
    return [problem.removeprefix("s.yaml:") for problem in caught.value.problems]


def launching(launch: str) -> str:
    return GOOD.replace("gunicorn shop.wsgi -b 127.0.0.1:8000", launch)


def ready_at(url: str) -> str:
    return GOOD.replace("http://127.0.0.1:8000/health", url)


GOOD_TARGET = "name: x\ntarget: {launch: a, ready: 'http://127.0.0.1:1/'}\nrequests: [{name: b, get: /b}]\n"


def target_of(target: str) -> str:
    return f"name: x\ntarget: {{{target}}}\nload: {{observe: 1m}}\n"


# --- what is read ---------------------------------------------------------------------------------------------------


def test_everything_a_file_says_arrives_in_base_units() -> None:
    scenario = read_scenario(FILES / "python.yaml")
    target = scenario.target
    assert target is not None
    cache, web = target.launch
    assert (cache.name, cache.argv, cache.measured) == ("cache", ("redis-server", "--port", "7000"), False)
    assert dict(web.env) == {"WORKERS": "4", "DEBUG": "false"}
    assert dict(target.env) == {"SECRET_KEY": "${SHOP_SECRET}"}
    assert (target.start_timeout_ns, target.stop_timeout_ns) == (90 * 10**9, 5 * 10**9)
    assert target.base_url == "http://127.0.0.1:8000/shop"
    assert target.adapter_options["functions"] == ["shop.views:Basket.add"]
    assert target.adapter_options["tracemalloc"] == {"frames": 1, "from_boot": False}
    login, basket = scenario.requests[1:3]
    assert (login.method, login.path, login.once) == ("POST", "/login", True)
    assert (login.capture["csrf"].source, login.capture["csrf"].fresh) == ("home", True)
    assert login.check.status == (302,)
    assert basket.json_body == {"items": [{"id": 7, "price": 1.1, "gift": None}], "note": "costs $${5}"}
    assert dict(basket.query) == {"page": "1"}
    assert (basket.check.status, basket.check.max_latency_ns) == ((200, 201), 500 * 10**6)
    assert scenario.requests[3].capture["id"].json_path == "data.id"
    load = scenario.load
    assert isinstance(load, RoundsLoad)
    assert (load.rounds, load.warmup_rounds, load.settle_ns, load.seed) == (9, 0, 10**9, 7)
    assert scenario.profile.tools == ("tracemalloc", "memory_profiler")
    assert scenario.profile.endpoints == ("home",)
    assert (scenario.sample.interval_ns, scenario.sample.budget) == (500 * 10**6, 0.02)
    guard = scenario.guard
    assert (guard.latency_p99_ns, guard.mem_available, guard.psi_some) == (2 * 10**9, Amount(bytes=500 * 2**20), 0.2)
    assert scenario.expect[0] == parse_expectation("verdict is not leak, fragmentation")


def test_five_lines_are_enough_and_the_rest_has_defaults() -> None:
    scenario = read_scenario(FILES / "smallest.yaml")
    assert len((FILES / "smallest.yaml").read_text().splitlines()) == 5
    load = scenario.load
    assert isinstance(load, RoundsLoad)
    assert (load.requests_per_round, load.concurrency, load.warmup_rounds, load.blocks) == (1000, 4, 2, 5)
    assert (load.settle_ns, load.seed) == (300 * 10**6, 1)
    assert scenario.profile.automatic
    assert scenario.sample.interval_ns == 10**9
    assert scenario.guard.mem_available == Amount(share=0.05)
    assert scenario.guard.disk_free_bytes == 200 * 2**20
    assert scenario.runtime == "any"


def test_the_other_shapes_of_load() -> None:
    stages = read_scenario(FILES / "attached-php.yaml").load
    assert isinstance(stages, StagesLoad)
    assert [s.rate for s in stages.stages] == [Rate(5, 5), Rate(5, 50)]
    assert [(s.warmup, s.duration_ns, s.max_in_flight) for s in stages.stages] == [
        (True, 30 * 10**9, 200),
        (False, 600 * 10**9, 50),
    ]
    jobs = read_scenario(FILES / "worker.yaml").load
    assert isinstance(jobs, EachRoundLoad)
    assert (jobs.argv, jobs.timeout_ns) == (("php", "bin/enqueue", "500"), 300 * 10**9)
    observed = read_scenario(FILES / "observed.yaml").load
    assert isinstance(observed, ObserveLoad)
    assert observed.observe_ns == 600 * 10**9
    assert read_scenario(FILES / "script.yaml").target is None


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        ("{engine: locust, workers: 3}", RoundsLoad),
        ("{engine: locust, listen: 'h:1', hosts: ['ssh://a', {host: 'ssh://u@b:22', workers: 4}]}", RoundsLoad),
        ("{engine: locust, workers: 0, hosts: ['ssh://a']}", RoundsLoad),
        ("{engine: locust, stages: [{rate: 5/s, for: 10s}]}", EngineStagesLoad),
        ("{locustfile: mine.py, users: 5, spawn_rate: 0.5, for: 5m}", LocustfileLoad),
        ("{command: wrk -d5s http://127.0.0.1:1/, rounds: 7}", CommandLoad),
        ("{command: k6 run x.js, for: 5m}", CommandLoad),
    ],
)
def test_who_else_may_send(load: str, kind: type) -> None:
    scenario = parse_scenario(f"{GOOD_TARGET}load: {load}\n")
    assert type(scenario.load) is kind
    again = Scenario.model_validate(scenario.to_data())
    assert again.load == scenario.load


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ("{workers: 3}", "workers are for engine: locust"),
        ("{engine: another, listen: 'h:1'}", "listen is for engine: locust"),
        ("{engine: locust, remote_workers: 3}", "remote_workers need listen"),
        ("{locustfile: a.py, for: 5m, remote_workers: 3}", "remote_workers need listen"),
        ("{engine: locust, workers: 0}", "there is nobody to send"),
        ("{engine: locust, hosts: ['ssh://load-1'], remote_workers: 3}", "remote_workers need listen"),
        ("{engine: locust, listen: '0.0.0.0:1', hosts: ['ssh://load-1']}", "listen must be the address"),
        ("{engine: locust, listen: 'h:1', hosts: ['http://load-1']}", "is not an address such as ssh://"),
        ("{engine: locust, stages: []}", "load.stages: is too short (at least 1)"),
        ("{locustfile: a.py}", "'for' is missing"),
        ("{command: wrk x, rounds: 3}", "3 rounds are too few"),
        ("{command: 'wrk ${Key}'}", "${Key} is not an environment variable"),
    ],
)
def test_who_cannot(load: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(said)) as caught:
        parse_scenario(f"{GOOD_TARGET}load: {load}\n")
    assert len(caught.value.problems) == 1


def test_endpoints_of_others_may_be_expected_without_being_listed() -> None:
    target = "name: x\ntarget: {launch: serve}\nexpect: ['p99 < 1s of endpoint GET /item/{}']\n"
    assert parse_scenario(f"{target}load: {{command: wrk x}}\n").expect[0].endpoint == "GET /item/{}"
    with pytest.raises(ScenarioError, match="no request is called"):
        parse_scenario(f"{target}load: {{observe: 1m}}\n")


def test_a_command_or_a_locustfile_needs_no_requests_and_may_have_them_for_profiles() -> None:
    target = "name: x\ntarget: {launch: serve}\n"
    for load in ("{command: wrk x}", "{locustfile: a.py, for: 5m}"):
        assert parse_scenario(f"{target}load: {load}\n").requests == ()
        with pytest.raises(ScenarioError, match="where is /b"):
            parse_scenario(f"{target}requests: [{{name: b, get: /b}}]\nload: {load}\n")


def test_php_options_and_what_null_switches_off() -> None:
    scenario = read_scenario(FILES / "php.yaml")
    assert scenario.target is not None
    assert scenario.target.ways_in == ("php.serve",)
    assert scenario.target.adapter_options == {
        "serve": {
            "docroot": "public",
            "listen": "127.0.0.1:8080",
            "workers": 2,
            "front_controller": None,
            "ini": {"memory_limit": "256M"},
            "web": "nginx",
        },
        "floors": "look",
        "ini": {"opcache.enable": "1"},
    }
    assert scenario.guard.mem_available is None
    assert scenario.guard.disk_free_bytes is None


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("{launch: x, ready: 'https://h:8443/health?x=1'}", "https://h:8443"),
        ("{launch: x, ready: 'tcp://127.0.0.1:9000'}", "http://127.0.0.1:9000"),
        ("{launch: x, ready: 'tcp://127.0.0.1:9000', url: 'http://h/app/'}", "http://h/app"),
        ("{attach: {port: 81}}", "http://127.0.0.1:81"),
        ("{runtime: php, php: {serve: {docroot: .}}}", "http://127.0.0.1:8080"),
        ("{attach: {pid: 5}}", None),
    ],
)
def test_where_requests_go(target: str, url: str | None) -> None:
    scenario = parse_scenario(f"name: x\ntarget: {target}\nload: {{observe: 1m}}\n")
    assert scenario.target is not None
    assert scenario.target.base_url == url


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "s.yaml"
    path.parent.mkdir()
    path.write_text(GOOD)
    scenario = read_scenario(path)
    assert scenario.scenario_dir == path.parent
    assert scenario.resolve_path("app/x") == path.parent / "app/x"
    assert scenario.resolve_path("/abs") == Path("/abs")


@pytest.mark.parametrize("path", sorted(FILES.glob("*.yaml")), ids=lambda p: p.name)
def test_what_is_stored_reads_back_as_the_same_scenario(path: Path) -> None:
    stored = read_scenario(path).to_data()
    again = Scenario.model_validate(json.loads(json.dumps(stored)))
    assert again.to_data() == stored
    assert again.model_dump() == read_scenario(path).model_dump()


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_every_mistake_is_reported_at_once_with_its_line() -> None:
    found = mistakes(
        """\
name: my shop!
targt: x
target:
  runtime: python
  lunch: gunicorn
  attach: {port: 8000}
  host: ssh://staging
  env: {A: 1.5}
  start_timeout: 30
requests:
  - {name: home, get: home, weigth: 5}
  - name: login
    post: /login
    get: /x
    form: {user: "${USER_NAME}", csrf: "${csr}"}
    body: x
    capture:
      csrf: {from: hme, regex: 'name'}
    check: {status: abc}
  - 5
  - {name: login, get: "/${FOO:-1}", once: yes, headers: {"a b": 1, traceparent: x}}
load: {rounds: 5, each: 3, requests_per_round: "x", warmup_rounds: -1}
profile: {endpoints: [hom]}
sample: {interval: 1ms, budget: 1}
guard: [1]
expect:
  - verdict is helthy
  - p99 < 3s of endpoint bar
  - p99 < 3
name: again
"""
    )
    assert found == [
        "2: unknown key 'targt' (did you mean 'target'?)",
        "5: unknown key 'lunch' (did you mean 'launch'?)",
        "8: target.env.A: put the number in quotes, so that it is sent exactly as written",
        "9: target.start_timeout: 30 has no unit: write a duration such as 500ms, 30s or 10m",
        "11: requests.get: 'home' must start with /",
        "11: unknown key 'weigth' (did you mean 'weight'?)",
        "12: the request 'login' has form and body: keep one",
        "12: the request 'login' has get and post: keep one",
        "14: where is /x? The target is on other hosts: add target.url, the address that answers to requests from this machine",
        "15: ${csr} is captured from no request (did you mean 'csrf'?); environment variables are upper case, "
        "$${ is the text ${",
        "18: no request is called 'hme' (did you mean 'home'?)",
        "18: requests.capture.csrf: the regular expression has no group 1: put ( ) around the value, or write group: 0",
        "19: requests.check.status: must be a whole number, not 'abc'",
        "20: requests: must be a mapping (key: value lines, or {key: value}), not 5",
        "21: '${FOO:-1' is not a reference: write ${NAME}, or $${ for the text ${",
        "21: requests.headers.a b: 'a b' is not a header name",
        "21: requests.headers.traceparent: traceparent is set by the harness: it carries the id that ties a request to "
        "its worker",
        "21: requests.once: must be true or false, not 'yes'",
        "21: two requests are called 'login': give each its own name",
        "22: load.requests_per_round: must be a whole number, not 'x'",
        "22: load.rounds: 5 rounds are too few: growth is judged on the trend over at least 7 rounds (8 is the default; "
        "lower requests_per_round for a shorter run)",
        "22: load.warmup_rounds: must be at least 0, not -1",
        "22: unknown key 'each'; keys here: workers, remote_workers, listen, wait, engine, hosts, rounds, "
        "requests_per_round, concurrency, warmup_rounds, blocks, settle, seed",
        "23: no request is called 'hom' (did you mean 'home'?)",
        "24: sample.budget: 1 has no unit: write a share such as 10%",
        "24: sample.interval: must be between 100ms and 60s",
        "25: guard: must be a mapping (key: value lines, or {key: value}), not a list",
        "27: expect: 'helthy' is not a cause (did you mean 'healthy'?)",
        "28: no request is called 'bar'",
        "29: expect: '3' is not a duration such as 500ms, 30s or 10m",
        "30: 'name' is given twice, first on line 1",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "1: is empty: see `harness init` for a scenario to start from"),
        ("- a\n", "1: holds no 'key: value' lines at its top level: see `harness init` for a scenario to start from"),
        (GOOD.replace("name: shop\n", ""), "1: 'name' is missing: Short name, used in the run directory's name."),
        ("name: x\nrequests: [{name: a, get: /}]\n",
         "1: 'target' is missing: say what to launch or attach to (only load.each_round can do without)"),
        ("name: x\n\ntarget: {runtime: php}\nload: {observe: 1m}\n",
         "3: the target needs launch (a command to start), attach (port, pid, match or pidfile) or "
         "container (a name)"),
        (target_of("launch: a, attach: {pid: 1}"), "2: the target has launch and attach: keep one"),
        (target_of("attach: {pid: 1, port: 2}"), "2: attach needs exactly one of port, pid, match, pidfile"),
        (target_of("attach: {}"), "2: attach needs exactly one of port, pid, match, pidfile"),
        (target_of("launch: a, php: {}"), "2: target.php needs runtime: php"),
        (target_of("launch: a, runtime: python, python: {inject: true}"),
         "2: target.python.inject is for attach: what is started here gets the agent without it"),
        (target_of("attach: {pid: 1}, runtime: python, python: {overlay: true, inject: true}"),
         "2: target.python.overlay is for programs that are started here, not for attach"),
        (target_of("attach: {pid: 1}, runtime: python, python: {tracemalloc: {from_boot: true}, inject: true}"),
         "2: target.python.tracemalloc.from_boot is for programs that are started here, not for attach"),
        (target_of("attach: {pid: 1}, runtime: python, python: {gc_freeze: true}"),
         "2: target.python.gc_freeze needs the agent: with attach, add inject: true"),
        (target_of("attach: {pid: 1}, runtime: python, python: {jobs: [shop:pay]}"),
         "2: target.python.jobs needs the agent: with attach, add inject: true"),
        ("name: x\ntarget: {launch: a}\nrequests: []\n",
         "3: 'requests' is missing: without requests, use load: {observe: 10m} or {each_round: COMMAND}"),
        ("name: x\ntarget: {launch: a}\nrequests: [{name: b, get: /b}]\n",
         "3: where is /b? The target has no address: add target.ready or target.url"),
        (GOOD.replace("get: /}", "get: /, once: true}"), "6: every request is done once: nothing is left to send in the rounds"),
        (GOOD.replace("get: /}", "get: 'http://h/x'}"),
         "7: requests.get: 'http://h/x' is a whole address: put its path here and its origin into target.url"),
        (GOOD.replace("get: /}", "weight: 1}"), "7: the request 'home' has no path: add for example 'get: /'"),
        (GOOD.replace("name: home", "name: 12"), "7: requests.name: must be text (put it in quotes), not 12"),
        (GOOD.replace("name: home", "name: ' x'"),
         "7: requests.name: a request name is printable text without spaces at its ends"),
        (GOOD.replace("get: /}", "get: /, headers: {A: \"x\\ny\"}}"), "7: requests.headers.A: must be a single line"),
        (GOOD.replace("get: /}", "get: /, capture: {1a: {from: home, header: X}}}"),
         "7: requests.capture.1a: '1a' is not a variable name (letters, digits and _, not starting with a digit)"),
        (GOOD.replace("get: /}", "get: /, capture: {a: {from: home, header: X, json: b}}}"),
         "7: capture needs exactly one of regex, header, json"),
        (GOOD.replace("get: /}", "get: /, capture: {a: {from: home, regex: '('}}}"),
         "7: requests.capture.a: the regular expression is wrong: missing ), unterminated subpattern at position 0"),
        (launching("'a \"b'"),
         "4: target.launch: the command cannot be split into words: no closing quotation"),
        (launching("[{name: a, run: x}, {name: a, run: y}]"),
         "2: two programs are called 'a'"),
        (launching("sh -c 'echo ${i}'"),
         "4: ${i} is not an environment variable; environment variables are upper case, $${ is the text ${"),
        (ready_at("tcp://127.0.0.1"),
         "5: target.ready: 'tcp://127.0.0.1' has no port: write tcp://host:port"),
        (ready_at("localhost:8000"),
         "5: target.ready: 'localhost:8000' is not an address such as http://127.0.0.1:8000/health or tcp://127.0.0.1:8000"),
        (ready_at("http://h:99999/"),
         "5: target.ready: 'http://h:99999/' is not an address such as http://127.0.0.1:8000/health or tcp://127.0.0.1:8000"),
        (GOOD.replace("runtime: python", "runtime: Python 3"), "3: target.runtime: 'Python 3' is not a lower-case name"),
        (target_of("runtime: php, php: {serve: {docroot: ., listen: 8080}}"),
         "2: target.php.serve.listen: must be text (put it in quotes), not 8080"),
        (target_of("launch: a, container: web"), "2: the target has launch and container: keep one"),
        (target_of("containers: [web, {name: web, role: db}]"), "2: the container 'web' is named twice"),
        (target_of("container: {name: a, agent: x}"), "2: agent needs target.runtime, such as python"),
        (target_of("runtime: python, containers: [{name: a, agent: x}, {name: b, agent: ./x}]"),
         "2: two containers have the agent in 'x': each needs a directory of its own (harness agent)"),
        (target_of("runtime: python, container: web, python: {overlay: true}"),
         "2: target.python.overlay is for programs that are started here, not for containers"),
        (GOOD + "load: 5\n", "8: load: must be a mapping (key: value lines, or {key: value}), not 5"),
        (GOOD + "load: {requests_per_round: 3}\n",
         "8: load: 5 blocks do not fit into 3 requests_per_round: raise it or write blocks: 1"),
        (GOOD + "load:\n  - {rate: 5, for: 1m}\n",
         "9: load.rate: 5 has no unit: write a rate such as 20/s, or a ramp such as 10/s..50/s"),
        (GOOD + "load:\n  - {rate: 5/s..x, for: 1m}\n",
         "9: load.rate: '5/s..x' is not a rate such as 20/s, or a ramp such as 10/s..50/s"),
        (GOOD + "load: [{rate: 0/s, for: 1m}]\n", "8: load.rate: a stage needs a rate above 0/s"),
        (GOOD + "load: [{rate: 5/s}]\n", "8: 'for' is missing: How long."),
        (GOOD + "load: []\n", "8: load: a load of stages needs at least one stage: [{rate: 20/s, for: 10m}]"),
        (GOOD + "load: {observe: 1m, each_round: x}\n",
         "8: unknown key 'observe'; keys here: each_round, rounds, warmup_rounds, settle, timeout"),
        (GOOD + "profile: {functions: [shop.views]}\n",
         "8: profile.functions: 'shop.views' is not a function: write package.module:function, package.module:Class.method or, "
         "for one inside a function, package.module:create_app.<locals>.view"),
        (GOOD + 'profile: {functions: ["shop:<locals>.view"]}\n',
         "8: profile.functions: 'shop:<locals>.view' is not a function: write package.module:function, "
         "package.module:Class.method or, for one inside a function, package.module:create_app.<locals>.view"),
        (target_of('runtime: python, launch: x, python: {jobs: ["shop:make.<locals>.send"]}'),
         "2: target.python.jobs: 'shop:make.<locals>.send' is defined inside a function: only functions of a module or a class "
         "can be jobs"),
        (GOOD + "profile: [Xdebug]\n", "8: profile: 'Xdebug' is not a lower-case name"),
        (GOOD + "profile:\n", "8: profile: must be a mapping (key: value lines, or {key: value}), not empty"),
        (GOOD + "guard: {mem_available: lots}\n",
         "8: guard.mem_available: 'lots' is neither a size such as 256 MiB nor a share such as 10%"),
        (GOOD + "guard: {disk_free: 5}\n", "8: guard.disk_free: 5 has no unit: write a size such as 256 MiB"),
        (GOOD + "expect: verdict is healthy\n",
         "8: expect: must be a list (each item on its own line after '- ', or [a, b]), not 'verdict is healthy'"),
        (GOOD + "expect: [1]\n", "8: expect: an expectation is text such as 'verdict is healthy'"),
        ('name: x\ntarget: {runtime: php, php: {serve: {docroot: "a\\0b"}}}\nrequests: [{name: a, get: /}]\n',
         "2: target.php.serve.docroot: a path has no NUL character in it"),
    ],
)  # fmt: skip
def test_one_mistake_one_line(text: str, found: str) -> None:
    assert mistakes(text) == [found]


def test_a_circle_of_captures_is_shown() -> None:
    text = """\
name: x
target: {attach: {port: 80}}
requests:
  - {name: a, get: "/${x}", capture: {x: {from: b, header: X}}}
  - {name: b, get: "/${y}", capture: {y: {from: c, header: X}}}
  - {name: c, get: "/${x}"}
  - {name: d, get: "/${own}", capture: {own: {from: d, header: X}}}
"""
    assert mistakes(text) == [
        "5: captures go in a circle: 'b' needs 'c' needs 'b'",
        "7: captures go in a circle: 'd' needs 'd'",
    ]


def test_a_variable_captured_in_two_ways_must_say_which() -> None:
    text = """\
name: x
target: {attach: {port: 80}}
requests:
  - {name: a, get: /}
  - {name: b, get: "/${t}", capture: {t: {from: a, header: X}}}
  - {name: c, get: "/${t}", capture: {t: {from: a, header: Y}}}
  - {name: d, get: "/${t}"}
"""
    assert mistakes(text) == ["7: ${t} is captured in several ways: say in this request's capture which is meant"]


def test_very_many_mistakes_are_cut() -> None:
    text = "name: x\n" + "".join(f"key{i}: 1\n" for i in range(MAX_PROBLEMS + 5))
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, Path("s.yaml"))
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == "s.yaml: and 7 more"  # of 105 keys and 2 missing sections


def test_the_message_never_repeats_a_long_value() -> None:
    (problem,) = mistakes(GOOD.replace("name: shop", "name: '" + "s" * 5000 + "'"))
    assert len(problem) < 200


# --- warnings -------------------------------------------------------------------------------------------------------


def test_secrets_in_clear_text_are_doubts_not_mistakes() -> None:
    scenario = parse_scenario(
        """\
name: x
target:
  launch: a
  url: http://user:hunter2@h/
  env: {DB_PASSWORD: hunter2, API_KEY: "${API_KEY}", PLAIN: x}
requests:
  - name: login
    post: /login
    form: {password: hunter2, csrf_token: "${token}", user: bob}
    headers: {Authorization: Bearer abc}
    json:
  - {name: page, get: /, capture: {token: {from: page, header: T}, unused: {from: login, header: U}}}
""",
        Path("s.yaml"),
    )
    found = warnings_of(scenario)
    assert [re.match(r"s.yaml:(\d+): (\S+)", w).groups() for w in found] == [  # type: ignore[union-attr]  # None fails
        ("4", "the"), ("5", "'DB_PASSWORD'"), ("9", "'password'"), ("10", "'Authorization'"), ("12", "'unused'"),
    ]  # fmt: skip
    assert not any("hunter2" in w for w in found)


# --- any file -------------------------------------------------------------------------------------------------------

_WORDS = re.findall(r"[a-z_0-9]+(?=:)", "".join(p.read_text() for p in FILES.glob("*.yaml")))
_KEYS = [*sorted(set(_WORDS)), "x", "${A}"]
_SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["1s", "5%", "10 MiB", "/", "home", "${A}", "${a}", "http://h/", "verdict is healthy", "20/s", "auto"])
)  # fmt: skip
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=30,
)


def reads_or_says_why(text: str) -> None:
    try:
        scenario: Scenario | None = parse_scenario(text, Path("s.yaml"))
    except ScenarioError as error:
        problems = error.problems
        scenario = None
    if scenario is None:
        assert problems
        assert [p for p in problems if not re.match(r"s\.yaml:[0-9]+: \S|s\.yaml: and ", p)] == []
        return
    warnings_of(scenario)
    assert Scenario.model_validate(scenario.to_data()).to_data() == scenario.to_data()


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_scenario_or_a_scenario_error(text: str) -> None:
    reads_or_says_why(text)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Scenario.model_fields)), _DATA))
def test_any_data_under_known_keys_is_a_scenario_or_a_scenario_error(data: dict[str, Any]) -> None:
    reads_or_says_why(yaml.safe_dump({"name": "x", "target": {"launch": "x"}, **data}))


_REAL = [p.read_text() for p in sorted(FILES.glob("*.yaml"))]


@settings(deadline=None)
@given(
    text=st.sampled_from(_REAL),
    at=st.floats(0, 1),
    length=st.integers(0, 20),
    put=st.text(st.sampled_from("{}[]:,-&*!|>'\"%@`#$ \n\tax0"), max_size=6),
)
def test_any_damaged_file_is_a_scenario_or_a_scenario_error(text: str, at: float, length: int, put: str) -> None:
    start = int(at * len(text))
    reads_or_says_why(text[:start] + put + text[start + length :])


@pytest.mark.parametrize(
    ("target", "profile", "doubt"),
    [
        ("launch: a", "profile: [lines]", "lines watches functions"),
        ("launch: a", "profile: {tools: [memory_profiler], endpoints: [home]}", "memory_profiler watches functions"),
        ("launch: a", 'profile: {tools: [lines], functions: ["shop:view"]}', None),
        ('launch: a, python: {functions: ["shop:view"]}', "profile: [lines]", None),
        ("attach: {pid: 4711}", "profile: auto", "no profiler runs in a process that was started without the harness"),
        ("attach: {pid: 4711}, python: {inject: true}", "profile: auto", None),
        ("attach: {pid: 4711}", "profile: none", None),
        ("containers: [{name: a, role: a}]", "profile: auto", "in a container that was started without the agent"),
        ("hosts: [{host: 'ssh://a'}], attach: {port: 80}", "profile: auto", "with the agent there (harness agent ssh"),
        ("hosts: [{host: 'ssh://a', attach: {port: 80}}]", "profile: auto", "with the agent there (harness agent ssh"),
        ("host: ssh://a, container: web", "profile: auto", "in a container that was started without the agent"),
        ("host: ssh://a, launch: a", "profile: auto", None),
        ("hosts: [{host: 'ssh://a', agent: /opt/a}], attach: {port: 80}", "profile: auto", None),
        (
            "hosts: [{host: 'ssh://a', agent: /opt/a}], attach: {port: 80}, containers: [{name: a}]",
            "profile: auto",
            None,
        ),
        ("hosts: [{host: 'ssh://a', containers: [{name: b, agent: /opt/b}, c]}]", "profile: auto", None),
    ],
)
def test_a_profiler_that_cannot_say_anything_is_doubted(target: str, profile: str, doubt: str | None) -> None:
    text = (
        f"name: x\ntarget: {{runtime: python, {target}, url: 'http://127.0.0.1/'}}\n"
        f"requests: [{{name: home, get: /}}]\n{profile}\n"
    )
    found = warnings_of(parse_scenario(text))
    assert [doubt in line for line in found] == ([] if doubt is None else [True])


def test_a_function_inside_a_function_is_named_as_python_names_it() -> None:
    name = "shopsite:create_app.<locals>.Cart.total.<locals>.add"
    scenario = parse_scenario(GOOD + f'profile: {{functions: ["{name}"]}}\n', "s.yaml")
    assert scenario.profile.functions == (name,)
