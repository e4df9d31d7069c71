"""Settings of Xdebug 3 and 2 for the three tools, and the files of a deployment. Texts only."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.php import preflight
from adapters.php.accounts import Account
from adapters.php.deployment.files import (
    ACCESS_FORMAT,
    DeploymentPlan,
    deployment_files,
    ini_directory,
    pool_file,
    unit_of,
)
from adapters.php.fpm.access_format import compile_format
from adapters.php.installed import PhpBuild
from adapters.php.servers.nginx import exactly
from adapters.php.state import Places
from adapters.php.xdebug.requests import cookies_for
from adapters.php.xdebug.settings import PATH_LIMIT, fits, settings_of
from adapters.php.xdebug.tools import GCSTATS, PROFILE, TOOLS, TRACE, XdebugTool, chosen
from adapters.php.xdebug.version2 import is_supported, is_xdebug_2
from harness.errors import UsageError
from harness.plugins.spec import CheckLevel

OUT = Path("/out")
EACH_TOOL = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)


# --- Xdebug 3 -------------------------------------------------------------------------------------------------------


@EACH_TOOL
def test_requests_are_written_down_with_the_secret_only(tool: XdebugTool) -> None:
    settings = settings_of(tool, OUT, "s3", load=False)
    assert settings["xdebug.mode"] == tool.mode
    assert settings["xdebug.output_dir"] == "/out"
    assert settings["xdebug.use_compression"] == "0"
    assert settings["xdebug.log_level"] == "0", "higher ones write the secret into the log"
    assert settings["max_execution_time"] == "0"
    assert settings[f"xdebug.{tool.output_setting}"] == f"{tool.prefix}.%p.%u.%r.%U"
    assert "zend_extension" not in settings, "loading it twice makes PHP complain at every start"
    if tool is GCSTATS:
        assert settings["xdebug.start_with_request"] == "yes", "this mode obeys nothing else"
        assert "xdebug.trigger_value" not in settings
    else:
        assert (settings["xdebug.start_with_request"], settings["xdebug.trigger_value"]) == ("trigger", "s3")


@EACH_TOOL
def test_scripts_are_written_down_always(tool: XdebugTool) -> None:
    settings = settings_of(tool, OUT, None, load=True)
    assert settings["xdebug.start_with_request"] == "yes"
    assert "xdebug.trigger_value" not in settings
    assert next(iter(settings)) == "zend_extension", "what is loaded later knows no settings"


@pytest.mark.parametrize(
    ("version", "there"), [(None, False), ("3.0.4", False), ("3.2.0", False), ("3.3.0alpha3", True), ("3.10.1", True)]
)
def test_traces_hold_no_arguments(version: str | None, *, there: bool) -> None:
    settings = settings_of(TRACE, OUT, "s", load=False, version=version)
    assert settings["xdebug.trace_format"] == "1"
    assert {settings[f"xdebug.var_display_max_{what}"] for what in ("data", "depth", "children")} == {"0"}
    assert settings["xdebug.collect_return"] == "0"
    assert ("xdebug.collect_params" in settings) == there, "older ones complain about it at every start"


def test_secrets_and_cookies_of_the_tools_differ() -> None:
    assert [tool.secret("s") for tool in TOOLS.values()] == ["s", "s-trace", "s-gcstats"]
    assert cookies_for(PROFILE, "s") == {"XDEBUG_TRIGGER": "s", "XDEBUG_PROFILE": "s"}
    assert cookies_for(TRACE, "s") == {"XDEBUG_TRIGGER": "s-trace", "XDEBUG_TRACE": "s-trace"}
    assert cookies_for(GCSTATS, "s") == {"XDEBUG_TRIGGER": "s-gcstats"}
    assert chosen(("tracemalloc", "xdebug_gcstats", "xdebug")) == (PROFILE, GCSTATS)


def test_directories_are_long_enough_for_whole_names() -> None:
    longest = "cachegrind.out.4194304.1795664872.857595.01ec83.0123456789abcdef.0a1b2c"
    assert fits(Path("/" + "d" * (PATH_LIMIT - len(longest) - 2)))
    assert not fits(Path("/" + "d" * (PATH_LIMIT - len(longest) - 1)))
    assert not fits(Path("/" + "ä" * 100))


# --- Xdebug 2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "old", "supported"),
    [
        ("2.5.5", True, False),
        ("2.6.0", True, True),
        ("2.9.8", True, True),
        ("2.10.0", True, True),
        ("3.2.0", False, True),
    ],
)
def test_versions(version: str, *, old: bool, supported: bool) -> None:
    assert (is_xdebug_2(version), is_supported(version)) == (old, supported)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            PROFILE,
            {
                "profiler_enable_trigger": "1", "profiler_enable_trigger_value": "s3", "profiler_enable": "0",
                "profiler_output_dir": "/out", "profiler_output_name": "cachegrind.out.%p.%u.%r.%U", "profiler_append": "0",
                "trace_enable_trigger": "0", "gc_stats_enable": "0",
            },
        ),
        (
            TRACE,
            {
                "trace_enable_trigger": "1", "trace_enable_trigger_value": "s3", "auto_trace": "0", "trace_output_dir": "/out",
                "trace_output_name": "trace.%p.%u.%r.%U", "trace_format": "1", "trace_options": "0", "collect_params": "0",
                "collect_return": "0", "profiler_enable_trigger": "0", "gc_stats_enable": "0",
            },
        ),
        (
            GCSTATS,
            {
                "gc_stats_enable": "1", "gc_stats_output_dir": "/out", "gc_stats_output_name": "gcstats.%p.%u.%r.%U",
                "profiler_enable_trigger": "0", "trace_enable_trigger": "0",
            },
        ),
    ],
    ids=lambda value: value.name if isinstance(value, XdebugTool) else "",
)  # fmt: skip
def test_settings_of_xdebug_2(tool: XdebugTool, expected: dict[str, str]) -> None:
    settings = settings_of(tool, OUT, "s3", load=False, version="2.9.8")
    assert {f"xdebug.{name}": value for name, value in expected.items()}.items() <= settings.items()
    assert {"xdebug.default_enable", "xdebug.remote_enable", "xdebug.coverage_enable"} <= settings.keys()
    assert not settings.keys() & {
        "xdebug.mode",
        "xdebug.start_with_request",
        "xdebug.output_dir",
        "xdebug.trigger_value",
    }


@pytest.mark.parametrize(
    ("tool", "switch"), [(PROFILE, "profiler_enable"), (TRACE, "auto_trace"), (GCSTATS, "gc_stats_enable")]
)
def test_scripts_under_xdebug_2(tool: XdebugTool, switch: str) -> None:
    settings = settings_of(tool, OUT, None, load=False, version="2.6.0")
    assert settings[f"xdebug.{switch}"] == "1"
    assert not any(name.endswith("_value") for name in settings)
    others = {"xdebug.profiler_enable", "xdebug.auto_trace", "xdebug.gc_stats_enable"} - {f"xdebug.{switch}"}
    assert {settings[name] for name in others} == {"0"}


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        (None, CheckLevel.ERROR, "has no Xdebug"),
        ("2.5.5", CheckLevel.ERROR, "too old"),
        ("2.9.8", CheckLevel.WARNING, "never run with a real Xdebug 2"),
    ],
)
def test_preflight_tells_what_an_old_xdebug_means(version: str | None, level: CheckLevel, said: str) -> None:
    [check] = preflight._xdebug(PhpBuild("php7.4", "7.4.33", version, {}), version)
    assert check.level is level
    assert said in check.message
    assert "php7.4-xdebug" in (check.fix or "")


def test_preflight_says_nothing_of_a_current_xdebug() -> None:
    assert list(preflight._xdebug(PhpBuild("php8.2", "8.2.36", "3.2.0", {}), "3.2.0")) == []


def test_preflight_refuses_a_run_directory_that_is_too_long() -> None:
    assert list(preflight._room(Places(Path("/run")), (PROFILE,))) == []
    [check] = preflight._room(Places(Path("/" + "d" * 200)), (PROFILE, TRACE))
    assert check.level is CheckLevel.ERROR


# --- a deployment ---------------------------------------------------------------------------------------------------

PLAN = DeploymentPlan(
    fpm="/usr/sbin/php-fpm8.2", upstream="unix:/run/php/php8.2-fpm.sock",
    account=Account("www-data", "www-data", 33, 33, switch=True), directory=Path("/etc/harness"),
    output_dir=Path("/var/lib/profiles"), socket=Path("/run/harness.sock"), secret="0123456789abcdef", load_xdebug=True,
)  # fmt: skip


def test_each_tool_has_a_master_a_route_and_a_unit() -> None:
    files = deployment_files(PLAN)
    sockets = set()
    for tool in TOOLS.values():
        pool, ini = files[pool_file(tool)], files[f"{ini_directory(tool)}/harness-xdebug.ini"]
        [socket] = re.findall(r'^listen = "(.+)"$', pool, re.MULTILINE)
        sockets.add(socket)
        assert f'{exactly(tool.secret(PLAN.secret))} "unix:{socket}";' in files["nginx-map.conf"]
        assert f"{exactly(tool.secret(PLAN.secret))} $harness_span;" in files["nginx-map.conf"]
        assert "request_terminate_timeout = 0\n" in pool
        assert "php_admin_value[max_execution_time] = 0\n" in pool
        assert 'access.log = "/var/log/harness-xdebug/access.log"\n' in pool
        assert f'access.format = "{ACCESS_FORMAT}"\n' in pool
        assert f"pm.max_children = {1 if tool is TRACE else 2}\n" in pool
        assert f"xdebug.mode = {tool.mode}\n" in ini
        assert "max_execution_time = 0\n" in ini
        unit = files[f"{unit_of(tool)}.service"]
        assert f"PHP_INI_SCAN_DIR=:/etc/harness/{ini_directory(tool)}\n" in unit
        assert f"-y /etc/harness/{pool_file(tool)}\n" in unit
        assert f"LimitFSIZE={tool.cap_bytes}\n" in unit
    assert len(sockets) == 3
    assert "fastcgi_param UNIQUE_ID $harness_unique_id if_not_empty;" in files["nginx-location.conf"]
    assert "d /var/lib/profiles 0700 www-data www-data 1d\n" in files["harness-xdebug.tmpfiles.conf"]
    assert 'access_log: "/var/log/harness-xdebug/access.log"' in files["scenario-part.yaml"]


def test_the_new_masters_are_configured_as_the_existing_one() -> None:
    plan = replace(PLAN, configuration=("-c", "/etc/my app/php.ini", "-d", "a=100%$x"), scan_dir="/etc/shop:")
    files = deployment_files(plan)
    unit = files["harness-xdebug-trace.service"]
    assert "Environment=PHP_INI_SCAN_DIR=/etc/shop::/etc/harness/ini-trace\n" in unit
    assert f'ExecStart={PLAN.fpm} -c "/etc/my app/php.ini" -d "a=100%%$$x" -F -y /etc/harness/' in unit
    assert "-c '/etc/my app/php.ini' -d 'a=100%$x' -F -y" in files["README.txt"]


def test_how_the_existing_pool_runs_php_is_carried_over() -> None:
    lines = (("env[A]", "it's"), ("php_admin_value[memory_limit]", "256M"), ("chdir", "/srv/my app"))
    pool = deployment_files(replace(PLAN, pool_lines=lines))[pool_file(PROFILE)]
    assert pool.endswith("env[A] = \"it's\"\nphp_admin_value[memory_limit] = 256M\nchdir = '/srv/my app'\n")


@pytest.mark.parametrize("line", [("env[A]", "a\nb"), ("env[A]", "'\"$x")])
def test_what_cannot_be_carried_over_safely_is_refused(line: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        deployment_files(replace(PLAN, pool_lines=(line,)))


@pytest.mark.parametrize("secret", ["", "a b", "a.b", "a$", "a\nb", "ä", "x" * 257])
def test_secrets_that_nginx_would_interpret_are_refused(secret: str) -> None:
    with pytest.raises(UsageError, match="the secret"):
        exactly(secret)


TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize("named", ["-", "/var/lib/profiles/cachegrind.out.1.2.000003.0a1b2c.bbbbbbbbbbbbbbbb"])
def test_lines_of_the_deployments_access_log_tell_worker_and_request(named: str) -> None:
    record = compile_format(ACCESS_FORMAT).record(
        f"4711 200 2097152 10825 {TRACEPARENT} GET {named} /index.php".encode()
    )
    assert record is not None
    assert (record.pid, record.span_id) == (4711, "b" * 16)


def test_a_lying_header_in_the_access_log_names_no_other_request() -> None:
    """The header's text is the application's; what could be read in two ways is not believed."""
    lie = f"99 200 1 1 00-{'c' * 32}-{'d' * 16}-01 GET /x"
    record = compile_format(ACCESS_FORMAT).record(f"4711 200 2097152 10825 {TRACEPARENT} GET {lie} /index.php".encode())
    assert record is None or (record.pid == 4711 and record.span_id in {None, "b" * 16})
