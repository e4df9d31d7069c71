"""PHP behind and inside a real Apache: records, routes to Xdebug by the secret cookie alone, files by exact request."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from php_target import DEADLINE_S, PROGRAMS, TOKEN, Target, functions, span, started
from processes import free_port

from adapters.php.accounts import current_account
from adapters.php.adapter import ADAPTER
from adapters.php.deployment.files import DeploymentPlan, deployment_files
from adapters.php.xdebug.tools import TOOLS
from harness.plugins.spec import CheckLevel, Stage

pytestmark = pytest.mark.integration

_HTACCESS = """\
RewriteEngine On
RewriteRule ^renamed/(.*)$ /globals/$1 [L]
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """A document root that every account can read, with a .htaccess as applications bring along."""
    directory = Path(tempfile.mkdtemp(prefix="harness-apache-"))
    directory.chmod(0o711)
    shutil.copytree(PROGRAMS / "php_app", directory / "public")
    (directory / "public/.htaccess").write_text(_HTACCESS)
    (directory / "public/style.css").write_text("body {}")
    for path in (directory / "public", *(directory / "public").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=["apache", "mod_php"])
def served(request: pytest.FixtureRequest, site: Path) -> Iterator[Target]:
    serve = {"docroot": "public", "listen": f"127.0.0.1:{free_port()}", "workers": 2, "web": request.param}
    target = Target(site / f"work-{request.param}", {"serve": serve, "ini": {"precision": "11"}}, site, list(TOOLS))
    assert not [c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR]
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log, PHP_APP_MARK="from the environment"))
        for path in target.profiles:  # of asking whether the servers are ready: gcstats obeys no trigger
            path.unlink()
        yield target


def test_only_what_runs_php_is_measured(served: Target) -> None:
    measured = [plan.name for plan in served.prepared.plans if plan.measured]
    assert measured in (["php-fpm"], ["apache"])
    assert sum(plan.stage is Stage.PROFILE for plan in served.prepared.plans) == len(TOOLS)


def test_requests_leave_records_whichever_way_they_reach_the_script(served: Target) -> None:
    for path in ("/", "/index.php", "/hello/there", "/index.php/with/path?x=1"):
        mark = span()
        response = served.get(path, mark)
        assert response.status_code == 200
        record = served.record_of(mark)
        assert record.pid == int(response.text.removeprefix("pid "))
        assert record.name == f"GET {path.partition('?')[0]}"
        assert (record.values["peak_bytes"] or 0) > 0


def test_files_htaccess_and_the_environment_are_as_in_any_apache(served: Target) -> None:
    assert served.get("/style.css").text == "body {}"
    assert served.get("/.htaccess").status_code == 403
    said = served.get("/globals").json()
    assert said["env"] == "from the environment"
    assert served.get("/renamed/x").status_code == 200  # by .htaccess


@pytest.mark.parametrize("cookies", [{}, {"XDEBUG_TRIGGER": "wrong"}, {"other": "1", "XDEBUG_PROFILE": "1"}])
def test_without_the_secret_nothing_touches_xdebug(served: Target, cookies: dict[str, str]) -> None:
    response = served.get("/globals?XDEBUG_TRIGGER=1", span(), **cookies)
    assert response.json()["mode"] in (None, [])
    assert "x-xdebug-profile-filename" not in response.headers
    assert not served.profiles


@pytest.mark.parametrize("tool", list(TOOLS))
def test_each_tool_has_the_file_of_exactly_this_request(served: Target, tool: str) -> None:
    mark = span()
    artifact, response = served.profiled("/grow?x=1", tool=tool, mark=mark)
    assert response.text == "5000000"
    assert artifact.attributes["found_by"] in ("name", "header")
    assert artifact.span_id == mark
    profile = served.parsed(artifact)
    if tool == "xdebug_gcstats":
        assert profile.totals["runs"] == 0
    else:
        assert "grow" in functions(profile)
        assert 5_000_000 < (profile.totals["peak_bytes"] or 0) < 7_000_000
    assert not served.profiles, "collected files are removed"


def test_an_application_that_strips_its_headers_is_joined_by_the_span(served: Target) -> None:
    artifact, response = served.profiled("/strip")
    assert response.text == "stripped"
    assert "x-xdebug-profile-filename" not in response.headers
    assert artifact.attributes["found_by"] == "name"
    served.parsed(artifact)


@pytest.mark.parametrize("served", ["apache"], indirect=True)
def test_the_route_of_a_deployment_works_in_the_users_own_apache(served: Target, site: Path) -> None:
    """The file that `harness init --php-fpm-config` writes for Apache, behind a configuration that knows nothing of it."""
    plan = next(plan for plan in served.prepared.plans if plan.name == "apache")
    own = Path(plan.argv[-1]).read_text()
    root = served.context.work_dir / "php"
    files = deployment_files(
        DeploymentPlan(
            "php-fpm", "127.0.0.1:9000", current_account(), root, root, root / "xdebug.sock", TOKEN, load_xdebug=False
        )
    )
    (root / "route.conf").write_text(files["apache-route.conf"])
    listen = f"127.0.0.1:{free_port()}"
    theirs = re.sub(r"<If .*?</If>\n", "", own, flags=re.DOTALL)  # no route of ours
    theirs = re.sub(r"Listen .*", f"Listen {listen}", theirs).replace("apache.pid", "theirs.pid")
    (root / "theirs.conf").write_text(f'{theirs}Include "{root}/route.conf"\n')
    own_apache = replace(plan, argv=(*plan.argv[:-1], str(root / "theirs.conf")), ready=f"http://{listen}/hello")
    with started(own_apache, served.log):
        mark = span()
        header = {"traceparent": f"00-{'ab' * 16}-{mark}-01"}
        routed = httpx.get(
            f"http://{listen}/hello", cookies={"XDEBUG_TRIGGER": TOKEN}, headers=header, timeout=DEADLINE_S
        )
        assert routed.headers["x-xdebug-profile-filename"].endswith(f".{mark}")
        plain = httpx.get(f"http://{listen}/hello", cookies={"XDEBUG_TRIGGER": "wrong"}, timeout=DEADLINE_S)
        assert "x-xdebug-profile-filename" not in plain.headers
    for path in served.profiles:
        path.unlink()


def test_a_forged_traceparent_names_no_file(served: Target) -> None:
    trigger = ADAPTER.trigger(served.context, "xdebug")
    for header in ("00-" + "ab" * 16 + "-../../../../etc/x-01", "x" * 4000, "00-" + "ab" * 16 + "-" + "0" * 16 + "-01"):
        answer, response = served.triggered("/hello", trigger, "", headers={"traceparent": header})
        assert response.status_code == 200
        assert all(name.name.endswith(".") for name in served.profiles), "no span in any name"
        ADAPTER.collect(served.context, trigger, answer, served.artifacts)
