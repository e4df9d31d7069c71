"""The PHP adapter against real php-fpm, nginx, ``php -S``, scripts and Xdebug, started from the plans it returns."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from php_target import DEADLINE_S, PROGRAMS, TOKEN, Target, environment, functions, span, started
from processes import free_port, wait_for

from adapters.php.accounts import pool_account
from adapters.php.adapter import ADAPTER
from adapters.php.fpm.access_format import compile_format
from adapters.php.fpm.pool_config import ACCESS_FORMAT
from adapters.php.installed import find_fpm, find_program
from harness.clock import SystemClock
from harness.errors import TargetError
from harness.model.profile import ArtifactStatus
from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord
from harness.plugins.spec import (
    CheckLevel,
    FloorDepth,
    LaunchPlan,
    ProfiledResponse,
    Stage,
    Trigger,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def public_dir() -> Iterator[Path]:
    """A directory every account can pass through, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="harness-php-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def served(public_dir: Path) -> Iterator[Target]:
    """php-fpm, nginx and the master with Xdebug; the application has a prepend file of its own, set by .user.ini."""
    site = public_dir / "site with space"
    shutil.copytree(PROGRAMS / "php_app", site / "public")
    (site / "chained.php").write_text("<?php $chained = 'yes';")
    (site / "public" / ".user.ini").write_text(f'auto_prepend_file = "{site}/chained.php"\n')
    for path in (site, *site.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    listen = f"127.0.0.1:{free_port()}"
    serve = {"docroot": "site with space/public", "listen": listen, "workers": 2, "ini": {"precision": "11"}}
    target = Target(public_dir / "work", {"serve": serve, "xdebug": None, "ini": {}}, public_dir)
    assert not [c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR]
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log, PHP_APP_MARK="from the environment"))
        yield target


# --- php-fpm and nginx ----------------------------------------------------------------------------------------------


def test_the_plans_say_what_is_measured_and_when_it_runs(served: Target) -> None:
    assert [(p.name, p.measured, p.stage) for p in served.prepared.plans] == [
        ("php-fpm", True, Stage.MAIN), ("nginx", False, Stage.MAIN), ("php-fpm-xdebug", False, Stage.PROFILE)
    ]  # fmt: skip


def test_each_request_leaves_a_record_with_its_span(served: Target) -> None:
    mark, before_ns = span(), time.monotonic_ns()
    response = served.get("/hello?secret=1", mark)
    record = served.record_of(mark)
    assert record.source == "php-agent"
    assert record.name == "GET /hello"
    assert record.status == 200
    assert record.pid == int(response.text.removeprefix("pid "))
    assert record.start_ns is not None
    assert record.end_ns is not None
    assert before_ns < record.start_ns < record.end_ns < time.monotonic_ns()
    assert (record.sequence, record.first_in_process) == (None, None), "a worker remembers nothing between requests"
    assert set(record.values) == {
        "usage_bytes", "real_bytes", "peak_bytes", "peak_real_bytes", "included_files", "realpath_cache_bytes",
        "gc_runs", "gc_collected", "gc_roots", "gc_threshold", "opcache_used_bytes", "opcache_free_bytes", "opcache_wasted_bytes",
        "opcache_hits", "opcache_misses", "opcache_scripts", "opcache_interned_used_bytes", "opcache_interned_free_bytes",
    }  # fmt: skip
    values = record.values
    assert None not in values.values()
    assert values["peak_bytes"] is not None
    assert values["usage_bytes"] is not None
    assert 0 < values["usage_bytes"] <= values["peak_bytes"]


def test_some_requests_say_what_the_agent_took(served: Target) -> None:
    """One of 31 by the clock: that none of two thousand is chosen, nobody will see."""
    for _ in range(2000):
        served.get("/hello")
        costs = [record for record in served.records() if isinstance(record, CostRecord)]
        if costs:
            break
    assert costs
    assert all(cost.source == "php-agent" and 0 < cost.cost_ns < 10_000_000 for cost in costs)


def test_the_record_tells_the_peak_of_the_request(served: Target) -> None:
    mark = span()
    served.get("/grow", mark)
    peak = served.record_of(mark).values["peak_bytes"]
    assert peak is not None
    assert 5_000_000 < peak < 7_000_000


@pytest.mark.parametrize(("path", "status"), [("/exit", 418), ("/fatal", 500), ("/oom", 500)])
def test_requests_that_end_early_are_recorded_too(served: Target, path: str, status: int) -> None:
    mark = span()
    assert served.get(path, mark).status_code == status
    assert served.record_of(mark).status == status


def test_the_application_notices_nothing(served: Target) -> None:
    mark = span()
    response = served.get("/observed", mark)
    served.record_of(mark)
    assert response.json()["last"] is None
    assert {h.partition(":")[0] for h in response.json()["headers"]} <= {"X-Powered-By", "Content-type"}
    seen = served.get("/globals").json()
    assert set(seen["keys"]) <= {"_GET", "_POST", "_COOKIE", "_FILES", "_SERVER", "argv", "argc", "chained", "path"}


def test_the_applications_own_prepend_file_still_runs(served: Target) -> None:
    assert served.get("/globals").json()["chained"] == "yes"


def test_the_pool_gets_the_environment_and_is_not_root(served: Target) -> None:
    assert served.get("/globals").json()["env"] == "from the environment"
    pid = int(served.get("/").text.removeprefix("pid "))
    assert Path(f"/proc/{pid}").stat().st_uid == pool_account([served.context.work_dir]).uid
    if os.geteuid() == 0:
        assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_files_are_served_and_hidden_ones_are_not(served: Target) -> None:
    (served.context.scenario_dir / "site with space" / "public" / "style.css").write_text("a {}")
    assert served.get("/style.css").headers["content-type"] == "text/css"
    assert served.get("/.user.ini").status_code == 404


def test_floors_are_asked_of_the_pool_and_are_no_requests(served: Target) -> None:
    mark = span()
    served.get("/", mark)
    worker = served.record_of(mark).pid
    parent = Path(f"/proc/{worker}/status").read_text().partition("PPid:")[2].split()[0]
    workers = sorted(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))
    before = [record for record in served.records() if isinstance(record, RequestRecord)]
    assert ADAPTER.speaks_for(served.context, workers) == workers
    assert ADAPTER.ask_floor(served.context, 7, FloorDepth.LOOK, workers)[0] == workers[0]
    floors = {r.pid: r.values for r in served.records() if isinstance(r, FloorRecord) and r.number == 7}
    assert floors.keys() == set(workers), "the status page tells of each"
    assert floors[workers[0]]["opcache.free_bytes"] is not None
    after = [record for record in served.records() if isinstance(record, RequestRecord)]
    assert before == after, "the agent in the pool does not take the question for a request"
    assert not (served.context.work_dir / "php" / "floor.php").exists()


def test_the_access_log_has_the_same_requests(served: Target) -> None:
    mark = span()
    served.get("/from-the-log", mark)
    log = served.context.work_dir / "php" / "access.log"
    form = compile_format(ACCESS_FORMAT)

    def lines() -> list[RequestRecord]:
        parsed = [form.record(line) for line in log.read_bytes().splitlines()]
        return [record for record in parsed if record is not None and record.span_id == mark]

    wait_for(lines, "the access log", DEADLINE_S)
    [record] = lines()
    assert record.pid == served.record_of(mark).pid
    assert record.status == 200


# --- profiles -------------------------------------------------------------------------------------------------------


def test_without_the_secret_nothing_touches_xdebug(served: Target) -> None:
    tries = [
        served.get("/globals"),
        served.get("/globals?XDEBUG_TRIGGER=1&XDEBUG_PROFILE=1"),
        served.get("/globals", XDEBUG_TRIGGER="wrong", XDEBUG_PROFILE="1"),
        served.get("/globals", XDEBUG_TRIGGER=TOKEN[:-1]),
        served.get(f"/globals?XDEBUG_TRIGGER={TOKEN}"),
    ]
    for response in tries:
        assert "x-xdebug-profile-filename" not in response.headers
        assert not response.json()["mode"], "no mode of Xdebug is on in the measured pool"
    assert served.profiles == []


def test_the_secret_cookie_gives_one_complete_profile(served: Target) -> None:
    artifact, response = served.profiled("/grow")
    profile = served.parsed(artifact)
    assert profile.complete
    assert {"{main}", "grow", "php::str_repeat"} <= functions(profile)
    assert not any("ProfilingHarness" in name for name in functions(profile)), "the agent is not in profiles"
    assert profile.totals["peak_bytes"] is not None
    assert profile.totals["peak_bytes"] > 5_000_000
    assert artifact.attributes["found_by"] == "name"
    assert artifact.span_id is not None
    assert response.headers["x-xdebug-profile-filename"].endswith(artifact.span_id)
    assert artifact.pid == int(Path(response.headers["x-xdebug-profile-filename"]).name.split(".")[2])
    assert artifact.path is not None
    assert artifact.path.startswith("xdebug-page-grow-")
    assert served.profiles == [], "collected profiles are removed"


def test_warm_up_profiles_are_cleared_away(served: Target) -> None:
    trigger = ADAPTER.trigger(served.context, "xdebug")
    for _ in range(trigger.warmups):
        served.get("/grow", **trigger.cookies)
    assert served.parsed(served.profiled("/grow", trigger)[0]).complete
    assert served.profiles == []


def test_a_profile_is_found_although_the_application_removed_the_header(served: Target) -> None:
    artifact, response = served.profiled("/strip")
    assert "x-xdebug-profile-filename" not in response.headers
    assert artifact.attributes["found_by"] == "name"
    assert served.parsed(artifact).complete


def test_a_profile_that_ends_after_the_response_is_waited_for(served: Target) -> None:
    artifact, response = served.profiled("/finish")
    assert response.text == "early"
    assert "grow" in functions(served.parsed(artifact)), "the call after fastcgi_finish_request"


@pytest.mark.parametrize("path", ["/exit", "/fatal"])
def test_requests_that_end_early_have_profiles(served: Target, path: str) -> None:
    artifact, _ = served.profiled(path)
    assert served.parsed(artifact).complete


def test_a_request_without_profile_is_missing_and_says_why(served: Target) -> None:
    trigger = Trigger("xdebug", cookies={"XDEBUG_TRIGGER": "wrong"})
    artifact, _ = served.profiled("/", trigger)
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.detail == "Xdebug wrote no profile for this (status 200)"


def test_the_configuration_passes_the_servers_own_checks(served: Target) -> None:
    root = served.context.work_dir / "php"
    fpm, nginx = find_fpm(), find_program("nginx")
    assert fpm is not None
    assert nginx is not None
    for program, flag, name in (
        (fpm, "-y", "php-fpm.conf"), (fpm, "-y", "php-fpm-xdebug.conf"), (nginx, "-c", "nginx.conf")
    ):  # fmt: skip
        subprocess.run([program, "-t", flag, root / name], check=True, capture_output=True, cwd=root)


# --- awkward places -------------------------------------------------------------------------------------------------


def test_a_deep_and_private_run_directory(tmp_path: Path) -> None:
    """Socket paths have 107 bytes, and www-data cannot pass through a 0700 directory."""
    tmp_path.chmod(0o700)
    deep = tmp_path / ("d" * 50) / ("e" * 30)
    listen = f"127.0.0.1:{free_port()}"
    serve = {"docroot": str(PROGRAMS / "php_app"), "listen": listen, "workers": 1, "front_controller": "index.php"}
    target = Target(deep / "work", {"serve": serve}, tmp_path)
    warned = {c.name for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.WARNING}
    assert warned == ({"php.account"} if os.geteuid() == 0 else set())
    mark = span()
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log))
        assert target.get("/", mark).status_code == 200
        target.record_of(mark)
        assert target.parsed(target.profiled("/grow")[0]).complete


def test_open_basedir_is_widened_for_the_agent(public_dir: Path) -> None:
    docroot = PROGRAMS / "php_app"
    serve = {
        "docroot": str(docroot), "listen": f"127.0.0.1:{free_port()}", "workers": 1, "ini": {"open_basedir": f"{docroot}/"}
    }  # fmt: skip
    target = Target(public_dir / "basedir", {"serve": serve}, public_dir)
    mark = span()
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            if plan.stage is Stage.MAIN:
                stack.enter_context(started(plan, target.log))
        assert target.get("/", mark).status_code == 200
        target.record_of(mark)


def test_a_port_in_use_and_a_wrong_document_root_are_told_together(served: Target, tmp_path: Path) -> None:
    listen = str(served.prepared.base_url).removeprefix("http://")
    target = Target(tmp_path / "work", {"serve": {"docroot": "nowhere", "listen": listen}}, tmp_path)
    errors = {c.name: c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR}
    assert set(errors) == {"php.docroot", "php.listen"}
    assert "is in use" in errors["php.listen"].message
    assert all(c.fix for c in errors.values())


# --- php -S ---------------------------------------------------------------------------------------------------------


def built_in(cwd: Path, *words: str, **env: str) -> LaunchPlan:
    address = f"127.0.0.1:{free_port()}"
    return LaunchPlan("app", ("php", "-S", address, *words), dict(env), cwd, ready=f"tcp://{address}")


def test_the_built_in_server_has_a_companion_with_xdebug(tmp_path: Path) -> None:
    plan = built_in(tmp_path, "-t", str(PROGRAMS / "php_app"), PHP_CLI_SERVER_WORKERS="2")
    target = Target(tmp_path / "work", {}, tmp_path)
    assert not [c for c in ADAPTER.preflight(target.context, [plan]) if c.level is not CheckLevel.INFO]
    main, companion = target.prepare(plan).plans
    assert target.prepared.base_url == str(plan.ready).replace("tcp", "http")
    assert (companion.measured, companion.stage) == (False, Stage.PROFILE)
    assert not any(TOKEN in word for word in companion.argv), "everybody can read it there"
    mark = span()
    with started(main, target.log), started(companion, target.log):
        assert not target.get("/globals", mark, XDEBUG_TRIGGER=TOKEN).json()["mode"]
        assert target.record_of(mark).name == "GET /globals"
        assert target.profiles == []
        trigger = ADAPTER.trigger(target.context, "xdebug")
        assert trigger.base_url is not None
        assert trigger.base_url != target.prepared.base_url
        wrong = httpx.get(f"{trigger.base_url}/", cookies={"XDEBUG_TRIGGER": "wrong"})
        assert "x-xdebug-profile-filename" not in wrong.headers
        assert "grow" in functions(target.parsed(target.profiled("/grow")[0]))


def test_a_program_confined_to_its_directory_still_gets_the_agent(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.php").write_text(f"<?php echo (int) @file_get_contents('{__file__}'), 'page';")
    target = Target(tmp_path / "work", {}, tmp_path)
    main, companion = target.prepare(built_in(tmp_path, "-d", f"open_basedir={site}", "-t", str(site))).plans
    mark = span()
    with started(main, target.log), started(companion, target.log):
        assert target.get("/page.php", mark).text == "0page"
        assert target.record_of(mark).name == "GET /page.php"
        assert target.profiled("/page.php")[0].status is ArtifactStatus.COMPLETE


def test_a_router_script_is_recorded_once_and_decides_as_before(tmp_path: Path) -> None:
    """PHP loads no auto_prepend_file before a router."""
    (tmp_path / "router.php").write_text(
        "<?php if ($_SERVER['REQUEST_URI'] === '/router') { echo $_SERVER['SCRIPT_FILENAME'], ' ', basename(__FILE__);"
        " return; } return false;"
    )
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.php").write_text("<?php echo 'page'; trigger_error('the page warns', E_USER_NOTICE);")
    (site / "file.txt").write_text("file")
    target = Target(tmp_path / "work", {}, tmp_path)
    main, companion = target.prepare(built_in(tmp_path, "-t", "site", "router.php")).plans
    with started(main, target.log), started(companion, target.log):
        marks = {path: span() for path in ("/router", "/page.php", "/file.txt")}
        answers = {path: target.get(path, mark).text for path, mark in marks.items()}
        assert (
            answers["/router"] == httpx.get(f"http://{str(companion.ready)[6:]}/router").text == "router.php router.php"
        )
        assert answers["/page.php"].startswith("page")
        assert answers["/file.txt"] == "file"
        for path, mark in marks.items():
            assert target.record_of(mark).name == f"GET {path}"
        spans = [r.span_id for r in target.records() if isinstance(r, RequestRecord) and r.span_id is not None]
        assert sorted(spans) == sorted(marks.values()), "a page behind a router is one request"
        profile = target.parsed(target.profiled("/router")[0])
        assert {frame.file for frame in profile.frames} >= {str(tmp_path / "router.php")}


# --- scripts --------------------------------------------------------------------------------------------------------


def run(plan: LaunchPlan, trigger: Trigger | None = None) -> str:
    if trigger is not None:
        plan = LaunchPlan(plan.name, trigger.argv or plan.argv, {**plan.env, **trigger.env}, plan.cwd)
    done = subprocess.run(
        plan.argv, env=environment(plan), cwd=plan.cwd, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("php", str(PROGRAMS / "php_job.php"), "500"),
        ("php", "-d", "memory_limit=64M", "-f", str(PROGRAMS / "php_job.php"), "500"),
        ("/bin/sh", "-c", f"exec php '{PROGRAMS / 'php_job.php'}' 500"),
    ],
    ids=["php", "php with options", "another program that runs php"],
)
def test_a_script_is_recorded_and_can_be_profiled(tmp_path: Path, argv: tuple[str, ...]) -> None:
    target = Target(tmp_path / "work", {"ini": {"precision": "9"}}, tmp_path)
    given = LaunchPlan("job", argv, cwd=tmp_path)
    assert not [c for c in ADAPTER.preflight(target.context, [given]) if c.level is CheckLevel.ERROR]
    [plan] = target.prepare(given).plans
    assert run(plan) == "500\n"
    boot, record = target.records()
    assert isinstance(boot, BootRecord)
    assert isinstance(record, RequestRecord)
    assert boot.pid == record.pid
    assert (record.sequence, record.first_in_process) == (1, True)
    assert record.name == boot.argv == "php_job.php"
    assert record.span_id is None
    assert target.profiles == []

    assert target.prepare(given).plans == (plan,), "the session prepares a job once more for the profiled pass"
    trigger = ADAPTER.trigger(target.context, "xdebug", plan.argv)
    clock = SystemClock()
    start_ns = clock.monotonic_ns()
    assert run(plan, trigger) == "500\n"
    response = ProfiledResponse("", "each_round", 0, start_ns, clock.monotonic_ns(), {})
    [artifact] = ADAPTER.collect(target.context, trigger, response, target.artifacts)
    profile = target.parsed(artifact)
    assert "work" in functions(profile)
    assert not any("ProfilingHarness" in name for name in functions(profile))
    assert len(target.records()) == 2


def test_children_of_a_script_are_no_requests(tmp_path: Path) -> None:
    (tmp_path / "parent.php").write_text(
        "<?php for ($i = 0; $i < 3; $i++) { if (!pcntl_fork()) { exit(0); } pcntl_wait($status); } echo getmypid();"
    )
    target = Target(tmp_path / "work", {}, tmp_path)
    [plan] = target.prepare(LaunchPlan("job", ("php", "parent.php"), cwd=tmp_path)).plans
    pid = int(run(plan))
    assert [(type(record), record.pid) for record in target.records()] == [(BootRecord, pid), (RequestRecord, pid)]


def test_a_php_without_xdebug_is_an_error_with_the_package_to_install(tmp_path: Path) -> None:
    """-n leaves all ini files out, and an empty extension_dir has no Xdebug to load."""
    bare = ("php", "-n", "-d", f"extension_dir={tmp_path}")
    target = Target(tmp_path / "work", {}, tmp_path)
    for argv in (
        (*bare, "-S", f"127.0.0.1:{free_port()}", "-t", str(tmp_path)),
        (*bare, str(PROGRAMS / "php_job.php")),
    ):
        [error] = [
            c for c in ADAPTER.preflight(target.context, [LaunchPlan("app", argv)]) if c.level is CheckLevel.ERROR
        ]
        assert error.name == "php.xdebug"
        assert "has no Xdebug" in error.message
        assert error.fix is not None
        assert "-xdebug" in error.fix
        with pytest.raises(TargetError, match="has no Xdebug"):
            target.prepare(LaunchPlan("app", argv))


def test_a_running_target_without_deployment_gets_an_honest_answer(tmp_path: Path) -> None:
    target = Target(tmp_path / "work", {}, tmp_path)
    trigger = ADAPTER.trigger(target.context, "xdebug")
    response = ProfiledResponse("ab" * 8, "home", 200, 1, 2, {"x-xdebug-profile-filename": "/etc/passwd"})
    [artifact] = ADAPTER.collect(target.context, trigger, response, target.artifacts)
    assert artifact.status is ArtifactStatus.MISSING
    assert "target.php.xdebug" in artifact.detail


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        (("disable_functions=gc_status,opcache_get_status,realpath_cache_size",), {"gc_runs", "opcache_hits"}),
        (("opcache.restrict_api=/nowhere",), {"opcache_hits"}),
        (("opcache.enable=0", "opcache.enable_cli=0"), {"opcache_hits"}),
    ],
    ids=["forbidden functions", "an opcache that is not to be asked", "no opcache"],
)
def test_what_cannot_be_asked_is_left_out_without_a_sound(
    tmp_path: Path, settings: tuple[str, ...], lacking: set[str]
) -> None:
    options = ["opcache.enable_cli=1", "display_errors=stderr", "error_reporting=-1", *settings]
    argv = ("php", *(word for option in options for word in ("-d", option)), str(PROGRAMS / "php_job.php"), "5")
    target = Target(tmp_path / "work", {}, tmp_path)
    [plan] = target.prepare(LaunchPlan("job", argv, cwd=tmp_path)).plans
    assert run(plan) == "5\n"
    [record] = [r for r in target.records() if isinstance(r, RequestRecord)]
    known = {name for name, value in record.values.items() if value is not None}
    assert {"peak_bytes", "included_files"} <= known
    assert not known & lacking
