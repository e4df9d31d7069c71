"""Xdebug's profiles, traces and collector reports by exact request, from real servers; and from an application that lies."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from php_target import DEADLINE_S, PROGRAMS, TOKEN, Target, environment, functions, span, started
from processes import free_port, harness, wait_for
from timelines import manifest

from adapters.php.accounts import pool_account
from adapters.php.adapter import ADAPTER
from adapters.php.deployment import check as deployment_check
from adapters.php.deployment.files import DeploymentPlan, deployment_files, pool_file
from adapters.php.deployment.trial import try_deployment
from adapters.php.installed import find_fpm, find_program, with_xdebug
from adapters.php.xdebug import local_outputs
from adapters.php.xdebug.output_names import parse_name
from adapters.php.xdebug.tools import TOOLS
from harness.clock import SystemClock
from harness.errors import TargetError
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import Check, CheckLevel, LaunchPlan, Prepared, ProfiledResponse, Stage
from harness.scenario.reader import parse_scenario
from harness.session import compiling
from harness.session.agents.places import Places
from harness.session.agents.spread import Spread
from harness.session.load_client import LoadClient
from harness.session.profiling.requests import ProfiledPass
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.store.reader import read_run
from harness.store.writer import Recorder

pytestmark = pytest.mark.integration

EACH_TOOL = pytest.mark.parametrize("tool", list(TOOLS))


@pytest.fixture(scope="module")
def public_dir() -> Iterator[Path]:
    """A directory every account can pass through, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="harness-php-"))
    directory.chmod(0o711)
    shutil.copytree(PROGRAMS / "php_hostile", directory / "site")
    for path in (directory / "site", *(directory / "site").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def served(public_dir: Path) -> Iterator[Target]:
    """php-fpm, nginx, and a php-fpm with each of the three tools."""
    serve = {"docroot": "site", "listen": f"127.0.0.1:{free_port()}", "workers": 1}
    target = Target(public_dir / "work", {"serve": serve}, public_dir, list(TOOLS))
    assert not [c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR]
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log))
        yield target


@pytest.fixture(autouse=True)
def _nothing_is_left(served: Target) -> Iterator[None]:
    yield
    for path in served.profiles:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- one request, one file ------------------------------------------------------------------------------------------


def test_each_tool_has_a_master_of_its_own_for_the_profiled_pass(served: Target) -> None:
    assert [plan.name for plan in served.prepared.plans if plan.stage is Stage.PROFILE] == [
        "php-fpm-xdebug", "php-fpm-xdebug_trace", "php-fpm-xdebug_gcstats"
    ]  # fmt: skip
    assert not any(plan.measured for plan in served.prepared.plans if plan.stage is Stage.PROFILE)


def test_a_profile_a_trace_and_a_collector_report(served: Target) -> None:
    profile = served.parsed(served.profiled("/grow", tool="xdebug")[0])
    assert profile.complete
    assert {"{main}", "grow", "php::str_repeat"} <= functions(profile)
    trace = served.parsed(served.profiled("/grow", tool="xdebug_trace")[0])
    assert trace.complete
    assert {"{main}", "grow"} <= functions(trace)
    assert trace.peak is not None
    assert trace.peak.bytes > 5_000_000
    assert trace.curve
    report = served.parsed(served.profiled("/cycles", tool="xdebug_gcstats")[0])
    assert report.complete
    assert report.totals["collected"] == 29_999, "the last object is still held by a variable"
    assert "gc_collect_cycles" in {run.function for run in report.collections}


@EACH_TOOL
def test_the_file_is_found_by_the_span_of_its_request(served: Target, tool: str) -> None:
    """Also where the application removes all headers, and although two more requests were thrown away."""
    warmups, mark = [span(), span()], span()
    trigger = ADAPTER.trigger(served.context, tool)
    assert trigger.warmups == len(warmups)
    for warmup in warmups:
        served.triggered("/strip", trigger, warmup)
    answer, response = served.triggered("/strip", trigger, mark, warmups)
    written = Path(response.text)
    assert written.parent.name == tool
    assert len(served.profiles) == 3
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    assert artifact.attributes["found_by"] == "name"
    assert artifact.path is not None
    assert mark in artifact.path
    served.parsed(artifact)
    known = parse_name(TOOLS[tool], written.name)
    assert known is not None
    assert (known.pid, known.span_id) == (artifact.pid, mark)
    assert served.profiles == [], "collected, and the throw-away ones too"


@EACH_TOOL
def test_requests_at_the_same_time_get_their_own_files(served: Target, tool: str) -> None:
    trigger, marks = ADAPTER.trigger(served.context, tool), [span(), span()]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda mark: served.triggered("/meet", trigger, mark), marks))
    pids = set()
    for answer, response in answers:
        [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
        served.parsed(artifact)
        assert artifact.attributes["found_by"] == "name"
        assert artifact.pid == int(Path(response.text).name.removeprefix(TOOLS[tool].prefix).split(".")[1])
        pids.add(artifact.pid)
    assert len(pids) == 2, "they ran in two workers"
    assert {path.name for path in served.profiles} == {f"beside{pid}" for pid in pids}


def test_after_a_redirection_the_page_that_was_shown_is_the_one(served: Target) -> None:
    """Both requests have the same traceparent and cookies."""
    trigger, mark = ADAPTER.trigger(served.context, "xdebug"), span()
    served.triggered("/cycles", trigger, mark)
    answer, _ = served.triggered("/grow", trigger, mark)
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    assert "grow" in functions(served.parsed(artifact))
    assert "2 files carry the span of this request" in artifact.detail
    assert served.profiles == []


@EACH_TOOL
def test_a_secret_reaches_its_own_master_and_nothing_else_does(served: Target, tool: str) -> None:
    seen = served.get("/seen", span(), XDEBUG_TRIGGER=TOOLS[tool].secret(TOKEN)).json()
    assert seen["modes"] == [TOOLS[tool].mode]
    assert [path.parent.name for path in served.profiles] == [tool]
    for path in served.profiles:
        path.unlink()
    for wrong in ("", "1", TOKEN[:-1], f"{TOKEN}-", TOOLS[tool].secret(TOKEN).upper(), f"{TOOLS[tool].secret(TOKEN)}x"):
        seen = served.get("/seen", span(), XDEBUG_TRIGGER=wrong).json()
        assert not seen["modes"], "no mode of Xdebug is on in the measured pool"
        assert seen["unique_id"] is None, "and nothing is passed to it that was not before"
    assert served.profiles == []


TRACE, OTHER = "a" * 32, "b" * 16


@pytest.mark.parametrize(
    "header",
    [
        "", "x", "../../../../etc/passwd", f"00-{TRACE}-../../../../tmp/x-01", f"00-{TRACE}-{OTHER}-01/../x",
        f"00-{'0' * 32}-{OTHER}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{OTHER.upper()}-01",
        f"ff-{TRACE}-{OTHER}-01", f"00-{TRACE}-{OTHER}-01-x", "00-" + "a" * 3000,
    ],
)  # fmt: skip
def test_only_a_valid_span_gets_into_a_name(served: Target, header: str) -> None:
    trigger = ADAPTER.trigger(served.context, "xdebug")
    httpx.get(f"{served.prepared.base_url}/", headers={"traceparent": header}, cookies=dict(trigger.cookies))
    [file] = served.profiles
    known = parse_name(TOOLS["xdebug"], file.name)
    assert known is not None
    assert known.span_id is None
    file.unlink()


def test_without_a_span_the_header_or_the_time_tells(served: Target) -> None:
    for path, found_by in (("/grow", "header"), ("/strip", "time")):
        trigger = ADAPTER.trigger(served.context, "xdebug")
        answer, _ = served.triggered(path, trigger, "")
        [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
        assert artifact.attributes["found_by"] == found_by
        served.parsed(artifact)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that nobody writes to any more are given up earlier."""
    monkeypatch.setattr(local_outputs, "QUIET_S", 0.2)


# --- an application that lies ---------------------------------------------------------------------------------------


def hostile(served: Target, path: str, tool: str = "xdebug") -> Artifact:
    copied = set(served.artifacts.glob("*"))
    artifact, _ = served.profiled(path, tool=tool)
    if artifact.path is None:
        assert artifact.detail
        assert set(served.artifacts.glob("*")) == copied, "nothing was copied"
    else:
        assert (served.artifacts / artifact.path).stat().st_size < 4 << 20
        assert b"root:" not in (served.artifacts / artifact.path).read_bytes()
    return artifact


@pytest.fixture
def somebody_elses(served: Target) -> Iterator[Path]:
    """A profile of another account in the directory, with the name of a request that runs now or ran before."""
    file = (
        served.context.work_dir
        / "php"
        / "profiles"
        / "xdebug"
        / f"cachegrind.out.1.1795664872.857595.01ec83.{'c' * 16}"
    )
    file.write_bytes(b"root:secret\nsummary: 1 1\n\n")
    if os.geteuid() == 0:
        os.chown(file, 1, 1)
    yield file
    file.unlink(missing_ok=True)


def test_a_lying_header_is_told_and_the_right_file_is_taken(served: Target, somebody_elses: Path) -> None:
    fifo = somebody_elses.with_name(f"cachegrind.out.1.1795664872.857596.01ec83.{'d' * 16}")
    os.mkfifo(fifo)
    for name in ("../../etc/passwd", "/etc/shadow", str(somebody_elses), str(fifo), "cachegrind.out.1"):
        artifact = hostile(served, f"/say?name={name}")
        assert artifact.attributes["found_by"] == "name"
        assert "the response names" in artifact.detail
        assert "{main}" in functions(served.parsed(artifact))
    assert not fifo.exists(), "it was begun before this request, by its name"


def test_another_accounts_file_is_not_read(served: Target, somebody_elses: Path) -> None:
    """It carries the right span, begun at the right time: whoever else can write there could make it."""
    if os.geteuid() != 0:
        pytest.fail("needs root, to make a file of another account")
    trigger, mark = ADAPTER.trigger(served.context, "xdebug"), span()
    answer, _ = served.triggered("/", trigger, mark)
    [real] = [path for path in served.profiles if mark in path.name]
    somebody_elses.rename(real)
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    assert (artifact.status, artifact.detail) == (ArtifactStatus.REFUSED, "the profile belongs to somebody else")


def test_a_header_of_a_megabyte_loses_the_answer_and_not_the_profile(served: Target) -> None:
    trigger, mark = ADAPTER.trigger(served.context, "xdebug"), span()
    answer, response = served.triggered("/say-much", trigger, mark)
    assert response.status_code == 502, "nginx takes no such header"
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    served.parsed(artifact)
    long = ProfiledResponse(
        mark, "page", 200, answer.start_ns, answer.end_ns, {"x-xdebug-profile-filename": "x" * 1_000_000}
    )
    [artifact] = ADAPTER.collect(served.context, trigger, long, served.artifacts)
    assert artifact.status is ArtifactStatus.REFUSED
    assert len(artifact.detail) < 300


@EACH_TOOL
@pytest.mark.parametrize("path", ["/fifo", "/symlink", "/hardlink", "/directory", "/socket", "/sparse"])
def test_what_is_put_in_its_place_is_refused(served: Target, path: str, tool: str) -> None:
    artifact = hostile(served, path, tool)
    assert artifact.status is ArtifactStatus.REFUSED
    assert artifact.attributes["found_by"] == "name"


def test_a_bomb_is_refused(served: Target) -> None:
    artifact = hostile(served, "/bomb")
    assert (artifact.status, artifact.detail) == (ArtifactStatus.REFUSED, "the profile unpacks to more than 512 MiB")


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("tool", ["xdebug", "xdebug_trace"])
def test_garbage_is_kept_called_truncated_and_not_parsed(served: Target, tool: str) -> None:
    artifact = hostile(served, "/garbage", tool)
    assert artifact.status is ArtifactStatus.TRUNCATED
    assert artifact.path is not None
    with pytest.raises(ValueError, match="no Xdebug"):
        ADAPTER.parse(tool, served.artifacts / artifact.path)


@EACH_TOOL
def test_an_endless_file_is_refused_when_it_passes_the_cap(served: Target, tool: str) -> None:
    artifact = hostile(served, "/endless", tool)
    assert artifact.status is ArtifactStatus.REFUSED
    assert "larger than" in artifact.detail


def test_a_forged_second_file_is_told(served: Target) -> None:
    artifact = hostile(served, "/forged")
    assert "2 files carry the span of this request" in artifact.detail
    assert served.profiles == []


@pytest.mark.usefixtures("_quick")
def test_a_worker_that_is_killed_leaves_what_it_wrote(served: Target) -> None:
    artifact = hostile(served, "/killed", "xdebug_trace")
    assert artifact.status is ArtifactStatus.TRUNCATED
    assert artifact.path is not None
    trace = ADAPTER.parse("xdebug_trace", served.artifacts / artifact.path)
    assert not trace.complete
    assert "grow" in functions(trace)
    assert hostile(served, "/killed").status is ArtifactStatus.TRUNCATED


# --- deployed beside an application that runs already ---------------------------------------------------------------

SECRET = "abcDEF-0123456789_x"


@dataclass(frozen=True)
class Deployed:
    """The generated files in use: masters for all three tools, and nginx before them and a plain pool."""

    home: Path
    url: str
    target: Target

    @property
    def output_dir(self) -> Path:
        return self.home / "profiles"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.output_dir.iterdir())

    def checks(
        self, *, secret: str = SECRET, url: str | None = None, tools: Sequence[str] = tuple(TOOLS)
    ) -> list[Check]:
        """What preflight says of the deployment."""
        options = {"xdebug": {"secret": secret, "output_dir": str(self.output_dir)}}
        context = replace(self.target.context, options=options, tools=tuple(tools), base_url=url or self.url)
        return [check for check in ADAPTER.preflight(context, ()) if check.name.endswith(".deployment")]


def nginx_conf(home: Path, port: int, docroot: Path, location: str, name: str) -> Path:
    """A site of somebody's own, with the generated map."""
    account, state = pool_account([home]), home / name
    state.mkdir()
    temporary = " ".join(
        f"{kind}_temp_path {state}/{kind};" for kind in ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
    )
    conf = state / "nginx.conf"
    conf.write_text(
        f"{f'user {account.user} {account.group};' if account.switch else ''} daemon off; pid {state}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; include {home}/nginx-map.conf; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ include /etc/nginx/fastcgi_params; {location}\n"
        f"fastcgi_param SCRIPT_FILENAME {docroot}/index.php; }} }} }}\n"
    )
    return conf


@pytest.fixture(scope="module")
def deployed(served: Target, public_dir: Path) -> Iterator[Deployed]:
    fpm, nginx = find_fpm(), find_program("nginx")
    assert fpm is not None
    assert nginx is not None
    found = with_xdebug((fpm,))
    assert found is not None
    home, ports = public_dir / "deployed", [free_port(), free_port(), free_port()]
    account = pool_account([public_dir])
    for path in (home, home / "profiles", home / "log"):
        path.mkdir(mode=0o711)
    os.chown(home / "profiles", account.uid, account.gid)
    plan = DeploymentPlan(
        fpm=fpm, upstream=f"unix:{served.context.work_dir}/php/main.sock", account=account, directory=home,
        output_dir=home / "profiles", socket=home / "xdebug.sock", secret=SECRET, load_xdebug=found[1], log_dir=home / "log",
        xdebug=found[0].xdebug, pool_lines=(("env[PHP_APP_MARK]", "carried 'over'"), ("php_admin_value[precision]", "9")),
    )  # fmt: skip
    try_deployment(plan)
    for name, text in deployment_files(plan).items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    target = Target(
        public_dir / "attached",
        {"xdebug": {"secret": SECRET, "output_dir": "deployed/profiles", "access_log": "deployed/log/access.log"}},
        public_dir, list(TOOLS),
    )  # fmt: skip
    site = public_dir / "site"
    locations = {
        "generated": f"include {home}/nginx-location.conf;",
        "without-span": "fastcgi_pass $harness_php;",
        "everybody": f"fastcgi_pass unix:{plan.socket_of(TOOLS['xdebug_gcstats'])}; fastcgi_param UNIQUE_ID $harness_span;",
    }
    with ExitStack() as stack:
        for tool in TOOLS.values():
            command = (fpm, "-F", "-y", str(home / pool_file(tool)))
            env = {"PHP_INI_SCAN_DIR": f":{plan.ini_of(tool)}", "XDEBUG_MODE": None}
            stack.enter_context(started(LaunchPlan(tool.name, command, env), target.log))
        for (name, location), port in zip(locations.items(), ports, strict=True):
            conf = nginx_conf(home, port, site, location, name)
            url = f"http://127.0.0.1:{port}"
            stack.enter_context(started(LaunchPlan(name, (nginx, "-c", str(conf)), ready=url), target.log))
        for tool in TOOLS.values():
            wait_for(plan.socket_of(tool).exists, f"the master of {tool.name}", DEADLINE_S)
        target.prepared = Prepared((), f"http://127.0.0.1:{ports[0]}")
        yield Deployed(home, f"http://127.0.0.1:{ports[0]}", target)


@pytest.fixture
def emptied(deployed: Deployed) -> Deployed:
    for path in deployed.output_dir.iterdir():
        path.unlink()
    return deployed


def beside(deployed: Deployed, number: int) -> str:
    """The address of another nginx before the same masters."""
    conf = (deployed.home / ("generated", "without-span", "everybody")[number] / "nginx.conf").read_text()
    return f"http://127.0.0.1:{conf.partition('listen 127.0.0.1:')[2].partition(';')[0]}"


def test_a_deployment_that_was_tried_works(emptied: Deployed) -> None:
    checks = emptied.checks()
    assert [(check.name, check.level) for check in checks] == [
        (f"php.{tool}.deployment", CheckLevel.INFO) for tool in TOOLS
    ], checks
    assert all("only the last left" in check.message for check in checks)
    assert emptied.files() == [], "what was tried is removed"


def test_harness_doctor_tries_the_deployment(emptied: Deployed, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        f"""
name: shop
target:
  runtime: php
  attach: {{match: "php-fpm: pool www"}}
  url: {emptied.url}
  php: {{xdebug: {{secret: "${{XDEBUG_SECRET}}", output_dir: "{emptied.output_dir}"}}}}
requests: [{{name: home, get: /}}]
profile: {{tools: [xdebug, xdebug_gcstats]}}
"""
    )
    with harness("doctor", "shop.yaml", "--json", cwd=tmp_path, env={"XDEBUG_SECRET": SECRET}) as run:
        code, out, err = run.finish()
    assert code == 0, err
    tried = [check for check in json.loads(out)["checks"] if check["name"].endswith(".deployment")]
    assert [(check["name"], check["level"]) for check in tried] == [
        ("php.xdebug.deployment", "info"), ("php.xdebug_gcstats.deployment", "info")
    ], tried  # fmt: skip
    assert SECRET not in out + err
    assert emptied.files() == []


@EACH_TOOL
def test_a_deployment_gives_the_file_of_the_exact_request(emptied: Deployed, tool: str) -> None:
    target, theirs = emptied.target, f"{TOOLS[tool].prefix}.1.1795664872.857595.01ec83.{'c' * 16}{TOOLS[tool].suffix}"
    (emptied.output_dir / theirs).write_text("somebody else's")
    trigger, warmups, mark = ADAPTER.trigger(target.context, tool), [span(), span()], span()
    for warmup in warmups:
        target.triggered("/strip", trigger, warmup)
    answer, _ = target.triggered("/strip", trigger, mark, warmups)
    assert len(emptied.files()) == 4
    [artifact] = ADAPTER.collect(target.context, trigger, answer, target.artifacts)
    target.parsed(artifact)
    assert artifact.attributes["found_by"] == "name"
    assert emptied.files() == [theirs], "ours are removed, other people's stay"
    assert not target.get("/seen", span()).json()["modes"]
    assert emptied.files() == [theirs]


def test_without_spans_in_the_names_the_header_and_the_access_log_tell(emptied: Deployed) -> None:
    target = emptied.target
    target.prepared = Prepared((), beside(emptied, 1))
    try:
        for path, found_by in (("/grow", "header"), ("/strip", "access-log")):
            artifact, _ = target.profiled(path)
            assert artifact.attributes["found_by"] == found_by, artifact
            assert {"{main}"} <= functions(target.parsed(artifact))
        artifact, _ = target.profiled("/grow", tool="xdebug_trace")
        assert artifact.attributes["found_by"] == "access-log"
        target.parsed(artifact)
    finally:
        target.prepared = Prepared((), emptied.url)
    assert len(emptied.files()) == 3, "they could be anybody's"


def test_what_is_wrong_with_a_deployment_is_said(emptied: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment_check, "_FILE_S", 0.2)
    [check] = emptied.checks(secret="another-secret-000", tools=["xdebug"])
    assert (check.level, check.costs != "") == (CheckLevel.WARNING, True)
    assert "left no profile" in check.message
    [check] = emptied.checks(url=beside(emptied, 1), tools=["xdebug"])
    assert check.level is CheckLevel.WARNING
    assert "do not tell the request" in check.message
    [check] = emptied.checks(url=beside(emptied, 2), tools=["xdebug_gcstats"])
    assert check.level is CheckLevel.WARNING
    assert check.message.startswith("a request without the secret")
    [check] = emptied.checks(url=f"http://127.0.0.1:{free_port()}", tools=["xdebug"])
    assert check.level is CheckLevel.INFO
    assert "was not tried" in check.message


def test_the_pool_that_is_profiled_runs_like_the_one_that_answers(emptied: Deployed) -> None:
    shown = emptied.target.get("/settings", span(), XDEBUG_TRIGGER=SECRET).json()
    assert shown == {"mark": "carried 'over'", "precision": "9", "max_execution_time": "0"}


# --- what a run makes of it -----------------------------------------------------------------------------------------

SCENARIO = """
name: lies
target: {launch: serve, ready: "http://127.0.0.1:1/"}
requests: [{name: honest, get: /cycles}, {name: fifo, get: /own-fifo}, {name: liar, get: "/say?name=/etc/passwd"}]
load: {rounds: 7, requests_per_round: 60}
"""


def test_what_is_refused_is_among_the_missing_of_a_run(served: Target, tmp_path: Path) -> None:
    """The session's profiled pass with the load generator: warm-ups, spans, and what the report gets."""
    recorder = Recorder(tmp_path)
    recorder.manifest(manifest())
    with Pump(lambda: None) as pump:
        plan = compiling.load_plan(parse_scenario(SCENARIO), str(served.prepared.base_url), {})
        load = LoadClient(pump, recorder, plan.to_json())
        progress = Progress(io.StringIO(), quiet=True)
        try:
            profiled = ProfiledPass(
                pump, recorder, progress, SystemClock(), Spread(ADAPTER, Places(recorder, None, served.context))
            )
            profiled.requests(load, list(TOOLS), ["honest", "fifo", "liar"])
        finally:
            load.stop()
    recorder.close()
    raw = read_run(tmp_path)
    found = {(artifact.tool, artifact.endpoint): artifact for artifact in raw.artifacts}
    assert len(found) == 9
    for tool in TOOLS:
        assert found[tool, "honest"].status is ArtifactStatus.COMPLETE
        assert found[tool, "fifo"].status is ArtifactStatus.REFUSED
        assert found[tool, "liar"].status is ArtifactStatus.COMPLETE
    assert all(artifact.attributes["found_by"] == "name" for artifact in found.values())
    assert "'passwd'" in found["xdebug", "liar"].detail
    missing = {missing.signal: missing.reason for missing in raw.missing}
    assert set(missing) == {f"profile.{tool}.fifo" for tool in TOOLS}
    assert all("not an ordinary file" in reason for reason in missing.values())
    assert served.profiles == [], "the files of 27 requests are gone"


# --- php -S and scripts ---------------------------------------------------------------------------------------------


def test_the_built_in_server_has_a_companion_for_each_tool(public_dir: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    plan = LaunchPlan(
        "app", ("php", "-S", address, "-t", str(public_dir / "site")), cwd=public_dir, ready=f"tcp://{address}"
    )
    target = Target(public_dir / "built-in", {}, public_dir, list(TOOLS))
    main, *companions = target.prepare(plan).plans
    assert [(each.name, each.stage) for each in companions] == [(f"app-{tool}", Stage.PROFILE) for tool in TOOLS]
    with ExitStack() as stack:
        for each in (main, *companions):
            stack.enter_context(started(each, target.log))
        triggers = {tool: ADAPTER.trigger(target.context, tool) for tool in TOOLS}
        assert len({trigger.base_url for trigger in triggers.values()}) == 3
        assert not target.get("/seen", span(), **triggers["xdebug"].cookies).json()["modes"]
        for tool, trigger in triggers.items():
            warmups, mark = [span(), span()], span()
            for warmup in warmups:
                target.triggered("/cycles", trigger, warmup)
            answer, _ = target.triggered("/cycles", trigger, mark, warmups)
            [artifact] = ADAPTER.collect(target.context, trigger, answer, target.artifacts)
            profile = target.parsed(artifact)
            assert artifact.attributes["found_by"] == ("header" if tool == "xdebug" else "time")
            assert "cycles" in functions(profile) or profile.totals.get("collected") == 29_999
            assert [path for path in target.profiles if path.parent.name == tool] == []


SCRIPT = "for ($i = 0; $i < 30000; $i++) { $a = new stdClass(); $a->self = $a; } echo getmypid(), PHP_EOL;"


@EACH_TOOL
@pytest.mark.parametrize("command", ["one", "several"])
def test_a_script_leaves_a_file_for_each_php_of_its_process_tree(tmp_path: Path, tool: str, command: str) -> None:
    (tmp_path / "script.php").write_text(f"<?php {SCRIPT}")
    each = f"php {tmp_path}/script.php"
    argv = tuple(each.split()) if command == "one" else ("/bin/sh", "-c", f"{each}; {each} & wait")
    target = Target(tmp_path / "work", {}, tmp_path, [tool])
    [plan] = target.prepare(LaunchPlan("job", argv, cwd=tmp_path)).plans
    trigger = ADAPTER.trigger(target.context, tool, plan.argv)
    assert trigger.argv is not None
    start_ns = time.monotonic_ns()
    env = environment(replace(plan, env={**plan.env, **trigger.env}))
    done = subprocess.run(trigger.argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    answer = ProfiledResponse("", "each_round", 0, start_ns, time.monotonic_ns(), {})
    artifacts = ADAPTER.collect(target.context, trigger, answer, target.artifacts)
    assert sorted(str(artifact.pid) for artifact in artifacts) == sorted(done.stdout.split())
    assert len(artifacts) == (1 if command == "one" else 2)
    for artifact in artifacts:
        target.parsed(artifact)
    assert target.profiles == []


def test_nothing_is_triggered_when_the_disk_is_nearly_full(served: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_outputs.LocalOutputs, "free_bytes", lambda _: 1_500_000_000)
    assert ADAPTER.trigger(served.context, "xdebug").cookies
    with pytest.raises(
        TargetError, match="only 1430 MiB are free in xdebug_trace/; a trace can need 2145 MiB"
    ) as error:
        ADAPTER.trigger(served.context, "xdebug_trace")
    assert error.value.hint is not None
