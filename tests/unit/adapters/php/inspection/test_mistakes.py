"""Every mistake, found in a little configuration tree and named with its line and the corrected one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.php.accounts import Account
from adapters.php.deployment.files import DeploymentPlan, deployment_files
from adapters.php.fpm.access_format import compile_format
from adapters.php.inspection.files import Root
from adapters.php.inspection.fpm_files import php_settings, pools_of, read_fpm
from adapters.php.inspection.ini_files import parse_ini
from adapters.php.inspection.mistakes import mistakes
from adapters.php.inspection.model import (
    Directive,
    FileMode,
    Origin,
    Output,
    Owner,
    Place,
    Sapi,
    Setup,
    Unread,
    WebKind,
    WebLine,
    Xdebug,
)
from adapters.php.inspection.names import SETTINGS, in_xdebug_3, known
from adapters.php.inspection.web_files import nginx_lines
from harness.plugins.spec import Check, CheckLevel

SECRET = "0123456789abcdef0123456789abcdef"
GOOD = f"""\
zend_extension=xdebug.so
xdebug.mode=profile
xdebug.start_with_request=trigger
xdebug.trigger_value={SECRET}
xdebug.output_dir=/var/lib/profiles
xdebug.profiler_output_name=cachegrind.out.%p.%u.%r
"""
POOL = "[www]\nuser = www-data\n"
WWW = Owner("www-data", 33, 33)


def setup_of(
    directory: Path, ini: str, *, pool: str | None = None, nginx: str = "", version: tuple[int, int] | None = (3, 2),
    in_force: Mapping[str, str] | None = None, **more: Any,
) -> Setup:  # fmt: skip
    """What is gathered of a tree of configuration files, with PHP's answer made up."""
    file = directory / "php.ini"
    file.write_text(ini)
    directives = [replace(d, place=Place("php.ini", d.place.line)) for d in parse_ini(ini, str(file))]
    pools: tuple[Any, ...] = ()
    if pool is not None:
        (directory / "php-fpm.conf").write_text("[global]\ninclude=www.conf\n")
        (directory / "www.conf").write_text(pool)
        lines, unread = read_fpm(Root(), str(directory / "php-fpm.conf"))
        assert not unread
        lines = tuple(replace(line, place=Place("www.conf", line.place.line)) for line in lines)
        pools = tuple(replace(found, account=WWW) for found in pools_of(lines))
        directives += php_settings(lines)
    web, _ = nginx_lines(nginx, "nginx.conf")
    directives += [Directive(w.name, w.value, w.place, Origin.WEB) for w in web if w.kind is WebKind.PARAMETER]
    values = {
        d.name: d.value
        for d in directives
        if d.origin is Origin.INI and (not d.name.lower().startswith("xdebug.") or (version and known(d.name, version)))
    }
    settings: dict[str, Any] = {
        "title": "php-fpm master 7", "sapi": Sapi.CLI if pool is None else Sapi.FPM, "binary": "/usr/sbin/php-fpm8.2",
        "php": (8, 2), "in_force": {"opcache.enable": "On", **values, **(in_force or {})},
        "extensions": frozenset({"Zend OPcache"}), "directives": tuple(directives), "pools": pools, "environment": {},
        "xdebug": Xdebug(version, "" if version is None else f"{version[0]}.{version[1]}.0", False),
        "web": tuple(w for w in web if w.kind is not WebKind.PARAMETER), "files": {"php.ini": FileMode(0o640, 0, 0)},
    }  # fmt: skip
    return Setup(**(settings | more))


def found(setup: Setup, name: str) -> list[Check]:
    return [check for check in mistakes(setup) if check.name == name]


def one(setup: Setup, name: str) -> Check:
    (check,) = found(setup, name)
    return check


def warnings(setup: Setup) -> list[str]:
    return [check.name for check in mistakes(setup) if check.level is CheckLevel.WARNING]


# --- nothing to say -------------------------------------------------------------------------------------------------------


def test_a_master_for_profiles_done_right(tmp_path: Path) -> None:
    """The mode is there on purpose, which is no mistake."""
    setup = setup_of(
        tmp_path, GOOD, pool=POOL, outputs=(Output("/var/lib/profiles", "www", WWW, True, True, 0o700, 1 << 40),)
    )
    assert warnings(setup) == []
    assert one(setup, "php.setup").message == (
        "php-fpm master 7: PHP 8.2 (php-fpm), Xdebug 3.2.0, mode profile, pools: www"
    )
    assert one(setup, "php.xdebug.profile").level is CheckLevel.INFO


def test_the_deployment_that_the_harness_writes(tmp_path: Path) -> None:
    account = Account("www-data", "www-data", 33, 33, switch=True)
    plan = DeploymentPlan(
        "/usr/sbin/php-fpm8.2", "unix:/run/php.sock", account, Path("/etc/harness"), Path("/var/lib/profiles"),
        Path("/run/harness.sock"), SECRET, load_xdebug=True,
    )  # fmt: skip
    files = deployment_files(plan)
    output = Output("/var/lib/profiles", "xdebug", WWW, True, True, 0o700, 1 << 40)
    setup = setup_of(
        tmp_path, files["ini/harness-xdebug.ini"], pool=files["php-fpm-xdebug.conf"], nginx=files["nginx-map.conf"],
        outputs=(output,),
    )  # fmt: skip
    assert setup.profiles_by_trigger
    assert setup.value("xdebug.trigger_value") == SECRET
    assert warnings(setup) == []


def test_without_xdebug_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert warnings(setup_of(tmp_path, "memory_limit = 128M\n", pool=POOL, version=None)) == []
    assert warnings(setup_of(tmp_path, "zend_extension=xdebug.so\nxdebug.mode=off\n", pool=POOL)) == []


# --- names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("xdebug.profiler_enable_trigger=1", "xdebug.mode = profile\nxdebug.start_with_request = trigger"),
        ("xdebug.profiler_enable=1", "xdebug.mode = profile\nxdebug.start_with_request = yes"),
        ("xdebug.profiler_enable=0", "delete the line"),
        ("xdebug.profiler_output_dir=/srv/p", "xdebug.output_dir = /srv/p"),
        ("xdebug.profiler_enable_trigger_value=hidden", "xdebug.trigger_value = (the value of the old line)"),
        ("xdebug.trace_enable_trigger_value=hidden", "xdebug.trigger_value = (the value of the old line)"),
        ("xdebug.trace_output_dir=/t", "xdebug.output_dir = /t"),
        ("xdebug.trace_enable_trigger=on", "xdebug.mode = trace\nxdebug.start_with_request = trigger"),
        ("xdebug.auto_trace=1", "xdebug.mode = trace\nxdebug.start_with_request = yes"),
        ("xdebug.gc_stats_enable=1", "xdebug.mode = gcstats\nxdebug.start_with_request = yes"),
        ("xdebug.gc_stats_output_dir=/g", "xdebug.output_dir = /g"),
        ("xdebug.coverage_enable=1", "xdebug.mode = coverage"),
        ("xdebug.default_enable=1", "xdebug.mode = develop"),
        ("xdebug.remote_enable=1", "xdebug.mode = debug"),
        ("xdebug.remote_autostart=1", "xdebug.mode = debug\nxdebug.start_with_request = yes"),
        ("xdebug.remote_mode=jit", "xdebug.start_upon_error = yes"),
        ("xdebug.remote_mode=req", "xdebug.start_with_request = trigger"),
        ("xdebug.remote_host=10.0.0.1", "xdebug.client_host = 10.0.0.1"),
        ("xdebug.remote_port=9000", "xdebug.client_port = 9000"),
        ("xdebug.remote_log=/l", "xdebug.log = /l"),
        ("xdebug.remote_log_level=3", "xdebug.log_level = 3"),
        ("xdebug.remote_timeout=200", "xdebug.connect_timeout_ms = 200"),
        ("xdebug.remote_addr_header=X", "xdebug.client_discovery_header = X"),
        ("xdebug.remote_connect_back=1", "xdebug.discover_client_host = 1"),
        ("xdebug.remote_handler=dbgp", "delete the line"),
        ("xdebug.remote_cookie_expire_time=1", "delete the line"),
        ("xdebug.show_mem_delta=1", "delete the line"),
        ("xdebug.collect_vars=1", "delete the line"),
        ("xdebug.collect_includes=1", "delete the line"),
        ("xdebug.overload_var_dump=1", "delete the line"),
        ("xdebug.profiler_aggregate=1", "delete the line"),
        ("xdebug.extended_info=1", "delete the line"),
    ],
)
def test_names_of_xdebug_2(tmp_path: Path, line: str, fix: str) -> None:
    check = one(setup_of(tmp_path, f"zend_extension=xdebug.so\nxdebug.mode=off\n\n{line}\n"), "php.xdebug.renamed")
    name = line.partition("=")[0]
    assert check.message.startswith(f"php.ini:4: {name} is a setting of Xdebug 2, and Xdebug 3.2.0 ignores it")
    assert check.fix == fix
    assert "hidden" not in f"{check}"


def test_each_name_of_xdebug_2_has_lines_that_xdebug_3_knows() -> None:
    for name in SETTINGS:
        if known(name, (2, 7)) and not known(name, (3, 0)):
            for value in ("1", "0", "jit", "/x"):
                for line in in_xdebug_3(name, value):
                    assert known(line.partition(" = ")[0], (3, 0)), (name, line)


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("xdebug.mode=profile", "xdebug.profiler_enable_trigger = 1"),
        ("xdebug.mode=debug,trace", "xdebug.remote_enable = 1\nxdebug.trace_enable_trigger = 1"),
        ("xdebug.output_dir=/p", "xdebug.profiler_output_dir = /p\nxdebug.trace_output_dir = /p"),
        ("xdebug.trigger_value=hidden", "xdebug.profiler_enable_trigger_value = (the value of this line)"),
        ("xdebug.start_with_request=yes", "xdebug.profiler_enable = 1"),
        ("xdebug.client_port=9003", "xdebug.remote_port = 9003"),
        ("xdebug.use_compression=1", "delete the line, or install Xdebug 3.1"),
    ],
)
def test_names_of_xdebug_3_in_xdebug_2(tmp_path: Path, line: str, fix: str) -> None:
    setup = setup_of(tmp_path, f"{line}\n", version=(2, 9), php=(7, 4))
    check = one(setup, "php.xdebug.too_new")
    assert check.message.startswith(f"php.ini:1: {line.partition('=')[0]} exists since Xdebug 3.")
    assert check.fix == fix
    assert "hidden" not in f"{mistakes(setup)}"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("xdebug.collect_memory_garbage_collection", "xdebug.mode = gcstats"),
        ("xdebug.memory_analysis_level", "xdebug.mode = profile"),
        ("xdebug.profiler_outputname", "xdebug.profiler_output_name = ..."),
        ("xdebug.start_with_requests", "xdebug.start_with_request = ..."),
        ("XDebug.mode", "xdebug.mode = ..."),
        ("xdebug.frobnicate", "delete the line"),
    ],
)
def test_names_that_exist_nowhere(tmp_path: Path, name: str, fix: str) -> None:
    check = one(setup_of(tmp_path, f"xdebug.mode=off\n{name}=1\n"), "php.xdebug.unknown")
    assert check.message.startswith(f"php.ini:2: {name} exists in no version of Xdebug")
    assert (check.fix or "").startswith(fix)


def test_names_by_version(tmp_path: Path) -> None:
    def names(line: str, version: tuple[int, int]) -> list[str]:
        checks = mistakes(setup_of(tmp_path, f"xdebug.mode=off\n{line}\n", version=version))
        return [c.name for c in checks if "php.ini:2" in c.message]

    assert names("xdebug.collect_params=0", (3, 2)) == ["php.xdebug.renamed"]
    assert names("xdebug.collect_params=0", (3, 3)) == names("xdebug.collect_params=0", (2, 9)) == []
    assert names("xdebug.path_mapping=1", (3, 2)) == ["php.xdebug.too_new"]
    assert names("xdebug.path_mapping=1", (3, 5)) == []
    assert names("xdebug.profiler_aggregate=1", (2, 5)) == []
    assert names("xdebug.profiler_aggregate=1", (2, 9)) == ["php.xdebug.renamed"]
    assert names("xdebug.gc_stats_enable=1", (2, 5)) == ["php.xdebug.too_new"]


def test_a_later_version_may_have_names_that_we_do_not_know(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=off\nxdebug.brand_new=1\n", in_force={"xdebug.brand_new": "1"})
    assert found(setup, "php.xdebug.unknown") == []
    told = {"xdebug.remote_host": "(setting renamed in Xdebug 3)"}
    setup = setup_of(tmp_path, "xdebug.mode=off\nxdebug.remote_host=a\n", in_force=told)
    assert one(setup, "php.xdebug.renamed").fix == "xdebug.client_host = a"


def test_settings_of_an_xdebug_that_is_not_loaded(tmp_path: Path) -> None:
    """PHP 8 can only have Xdebug 3."""
    setup = setup_of(tmp_path, "xdebug.profiler_enable=1\n", version=None)
    assert one(setup, "php.xdebug.not_loaded").message.startswith("php.ini:1: settings of Xdebug")
    assert "the Xdebug of this PHP ignores it" in one(setup, "php.xdebug.renamed").message
    assert found(replace(setup, php=(7, 4)), "php.xdebug.renamed") == []  # could be either
    assert found(replace(setup, in_force=None), "php.xdebug.not_loaded") == []  # nobody knows


def test_xprof_files_are_not_xdebugs(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=off\nxdebug.profiler_output_name=p.%r.xprof\nxhprof.output_dir=/tmp\n")
    name, directory = found(setup, "php.xprof")
    assert name.message.startswith("php.ini:2: Xdebug writes cachegrind files")
    assert directory.message.startswith("php.ini:3: xhprof.output_dir")
    assert len(found(replace(setup, extensions=frozenset({"xhprof"})), "php.xprof")) == 1


def test_the_variable_xdebug_config(tmp_path: Path) -> None:
    environment = {"XDEBUG_CONFIG": "remote_host=10.0.0.1 idekey=x mode=profile"}
    checks = found(setup_of(tmp_path, "xdebug.mode=off\n", environment=environment), "php.xdebug.config_variable")
    assert [check.message.split(": ")[1].split()[0] for check in checks] == ["remote_host", "mode"]
    assert checks[0].fix == 'XDEBUG_CONFIG="client_host=..."'


# --- modes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "nginx", "says"),
    [
        (f"{POOL}php_admin_value[xdebug.mode] = profile\n", "", "www.conf:3: xdebug.mode in a pool"),
        (f"{POOL}php_value[xdebug.mode] = profile\n", "", "www.conf:3: xdebug.mode in a pool"),
        (f"{POOL}env[XDEBUG_MODE] = profile\n", "", "www.conf:3: env[XDEBUG_MODE] in a pool"),
        (
            POOL,
            'fastcgi_param PHP_VALUE "xdebug.mode=profile";',
            "nginx.conf:1: xdebug.mode in the web server's PHP_VALUE",
        ),
        (POOL, 'fastcgi_param PHP_ADMIN_VALUE "a=b\nxdebug.mode=profile";', "nginx.conf:1: xdebug.mode in the web"),
    ],
)
def test_a_mode_where_it_has_no_effect(tmp_path: Path, pool: str, nginx: str, says: str) -> None:
    setup = setup_of(tmp_path, "zend_extension=xdebug.so\nxdebug.mode=off\n", pool=pool, nginx=nginx)
    check = one(setup, "php.xdebug.mode_per_pool")
    assert check.message.startswith(f"{says} has no effect" if says.endswith("pool") else says)
    assert (check.fix or "").startswith("xdebug.mode = profile   ; in an ini file of a php-fpm master of its own")
    assert setup.modes == frozenset()


def test_a_mode_in_a_section_or_a_user_ini(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=off\n[HOST=a.example]\nxdebug.mode=profile\n")
    assert one(setup, "php.xdebug.mode_per_pool").message.startswith("php.ini:3: xdebug.mode in a [HOST=]")
    user = Directive("xdebug.mode", "profile", Place("/srv/.user.ini", 4), Origin.USER_INI)
    setup = replace(setup, directives=(user,))
    assert one(setup, "php.xdebug.mode_per_pool").message.startswith("/srv/.user.ini:4: xdebug.mode in a .user.ini")


def test_php_value_of_the_web_server_sticks_to_the_worker(tmp_path: Path) -> None:
    nginx = f'fastcgi_param PHP_VALUE "xdebug.trigger_value={SECRET}";'
    setup = setup_of(tmp_path, GOOD, pool=POOL, nginx=nginx)
    assert "keeps it for later requests" in one(setup, "php.xdebug.web_server").message
    assert SECRET not in f"{mistakes(setup)}"


@pytest.mark.parametrize("mode", ["develop", "coverage", "debug", "gcstats", "profile", "trace"])
def test_a_mode_that_is_left_on(tmp_path: Path, mode: str) -> None:
    check = one(setup_of(tmp_path, f"zend_extension=xdebug.so\nxdebug.mode={mode}\n"), f"php.xdebug.{mode}")
    assert check.level is CheckLevel.WARNING
    assert check.message.startswith(f"php.ini:2: mode {mode} is on: every request")
    assert (check.fix or "").startswith("xdebug.mode = off")
    assert check.costs


def test_develop_is_the_default(tmp_path: Path) -> None:
    """What Debian's package does when it is installed."""
    setup = setup_of(tmp_path, "zend_extension=xdebug.so\n")
    assert one(setup, "php.xdebug.develop").message.startswith(
        "php.ini:1: mode develop is on, Xdebug's default where no mode is set: every request takes twice as long"
    )
    assert warnings(replace(setup, environment={"XDEBUG_MODE": "off"})) == []


def test_the_environment_wins(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=off\n", environment={"XDEBUG_MODE": "profile"})
    assert setup.modes == {"profile"}
    assert one(setup, "php.xdebug.profile").message.startswith("XDEBUG_MODE in the environment: mode profile is on")
    assert "php.ini:1" in one(setup, "php.xdebug.mode_variable").message


def test_words_that_are_no_mode(tmp_path: Path) -> None:
    """As tried with 3.2: a setting that is wrong turns on develop, a variable that is wrong counts for nothing."""
    setup = setup_of(tmp_path, "xdebug.mode=profiler\n")
    assert setup.modes == {"develop"}
    assert one(setup, "php.xdebug.mode_unknown").message.startswith("php.ini:1: profiler is no mode")
    setup = setup_of(tmp_path, "xdebug.mode=profile\n", environment={"XDEBUG_MODE": "prof,x"})
    assert setup.modes == {"profile"}
    assert "is no list of modes" in one(setup, "php.xdebug.mode_unknown").message


def test_every_request_is_written(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=profile\nxdebug.start_with_request=yes\n")
    assert one(setup, "php.xdebug.every_request").message.startswith("php.ini:2: start_with_request=yes")
    setup = setup_of(tmp_path, "xdebug.mode=profile\n")
    assert one(setup, "php.xdebug.every_request").fix == "xdebug.start_with_request = trigger"
    setup = setup_of(tmp_path, "xdebug.mode=trace\nxdebug.start_with_request=yes\n")
    assert "mode trace" in one(setup, "php.xdebug.every_request").message
    assert found(setup_of(tmp_path, "xdebug.mode=trace\n"), "php.xdebug.every_request") == []
    setup = setup_of(tmp_path, "xdebug.profiler_enable=1\n", version=(2, 9), php=(7, 4))
    assert one(setup, "php.xdebug.every_request").message.startswith("php.ini:1: profiler_enable")


def test_gcstats_knows_no_trigger(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=gcstats\nxdebug.start_with_request=trigger\n")
    assert one(setup, "php.xdebug.gcstats_trigger").message.startswith("php.ini:2: gcstats starts with")
    setup = setup_of(tmp_path, "xdebug.mode=gcstats\nxdebug.start_with_request=yes\n")
    assert found(setup, "php.xdebug.gcstats_trigger") == []


@pytest.mark.parametrize(
    ("lines", "version", "names"),
    [
        ("", (3, 2), {"php.xdebug.trace_format", "php.xdebug.trace_size"}),
        ("xdebug.trace_format=1\n", (3, 2), {"php.xdebug.trace_size"}),
        ("xdebug.trace_format=1\nxdebug.collect_params=0\n", (3, 3), set()),
        ("xdebug.trace_format=1\n", (3, 3), {"php.xdebug.trace_size"}),
        ("xdebug.trace_format=4\nxdebug.collect_params=0\n", (3, 5), {"php.xdebug.trace_format"}),
        (
            "xdebug.trace_format=1\n"
            + "".join(f"xdebug.var_display_max_{part}=0\n" for part in ("data", "depth", "children")),
            (3, 2),
            set(),
        ),
    ],
)
def test_traces(tmp_path: Path, lines: str, version: tuple[int, int], names: set[str]) -> None:
    setup = setup_of(tmp_path, f"xdebug.mode=trace\n{lines}", version=version)
    assert {c.name for c in mistakes(setup) if ".trace_" in c.name} == names


def test_flame_graphs_before_3_3(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=trace\nxdebug.trace_format=3\n")
    assert "Xdebug 3.2.0 has no flame graphs" in one(setup, "php.xdebug.trace_format").message


def test_triggers_in_the_environment(tmp_path: Path) -> None:
    pool = f"{POOL}env[XDEBUG_TRIGGER] = {SECRET}\n"
    setup = setup_of(tmp_path, GOOD, pool=pool, environment={"XDEBUG_PROFILE": SECRET})
    assert len(found(setup, "php.xdebug.trigger_in_environment")) == 2
    assert SECRET not in f"{mistakes(setup)}"


def test_loading(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "extension=xdebug.so\n", version=None)
    assert one(setup, "php.xdebug.extension").fix == "zend_extension = xdebug.so"
    setup = setup_of(tmp_path, "zend_extension=xdebug\nzend_extension=/usr/lib/xdebug.so\nxdebug.mode=off\n")
    assert "php.ini:1 and php.ini:2" in one(setup, "php.xdebug.twice").message
    setup = replace(setup, missing_extensions=setup.directives[1:2])
    assert found(setup, "php.xdebug.twice") == []
    assert one(setup, "php.extension.missing").message.startswith("php.ini:2: zend_extension names a file")


# --- secrets ----------------------------------------------------------------------------------------------------------------


def test_anybody_can_have_a_profile(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "xdebug.mode=profile\nxdebug.start_with_request=trigger\n", pool=POOL)
    assert "in pool www" in one(setup, "php.xdebug.secret.missing").message
    pool = f"{POOL}php_admin_value[xdebug.trigger_value] = {SECRET}\n"
    setup = setup_of(tmp_path, "xdebug.mode=profile\nxdebug.start_with_request=trigger\n", pool=pool)
    assert found(setup, "php.xdebug.secret.missing") == []
    assert found(setup_of(tmp_path, "xdebug.mode=trace\n"), "php.xdebug.secret.missing")  # trigger is its default
    assert found(setup_of(tmp_path, "xdebug.mode=profile\n"), "php.xdebug.secret.missing") == []  # profiles all
    setup = setup_of(tmp_path, "xdebug.profiler_enable_trigger=1\n", version=(2, 6), php=(7, 2))
    assert one(setup, "php.xdebug.secret.missing").message.startswith("php.ini:1: profiler_enable_trigger")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1", "a value that tutorials use (1 digit)"),
        ('"yes"', "a value that tutorials use (3 letters)"),
        ("yes", "a value that tutorials use (1 digit)"),  # PHP makes 1 of it
        ("PHPSTORM", "a value that tutorials use (8 letters)"),
        ("letmein2", "8 characters, which can be guessed"),
        ("123456789", "9 digits, which can be guessed"),
    ],
)
def test_weak_secrets(tmp_path: Path, value: str, says: str) -> None:
    setup = setup_of(tmp_path, GOOD.replace(SECRET, value))
    assert one(setup, "php.xdebug.secret.weak").message == f"php.ini:4: xdebug.trigger_value is {says}"


def test_lists_and_long_secrets(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, GOOD.replace(SECRET, f'"{SECRET}, short"'))
    assert one(setup, "php.xdebug.secret.list").level is CheckLevel.INFO
    assert "5 letters" in one(setup, "php.xdebug.secret.weak").message
    setup = setup_of(tmp_path, GOOD.replace(SECRET, SECRET * 3))
    assert "96 characters" in one(setup, "php.xdebug.secret.long").message


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, GOOD, files={"php.ini": FileMode(0o644, 0, 0)})
    check = one(setup, "php.xdebug.secret.readable")
    assert check.message.startswith("php.ini:4: xdebug.trigger_value stands in a file that everybody")
    assert (check.fix or "").startswith("chmod 0640 php.ini")
    option = replace(setup.directives[3], place=Place("-d on the command line"), origin=Origin.OPTION)
    assert "ps" in one(replace(setup, directives=(option,)), "php.xdebug.secret.readable").message
    user = replace(setup.directives[3], place=Place("/srv/.user.ini", 1), origin=Origin.USER_INI)
    assert "below the document root" in one(replace(setup, directives=(user,)), "php.xdebug.secret.readable").message


def test_secrets_in_logs(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, f"{GOOD}xdebug.log=/tmp/x.log\nxdebug.log_level=10\n")
    assert one(setup, "php.xdebug.secret.logged").message.startswith("php.ini:8: at log_level 10")
    setup = setup_of(tmp_path, f"{GOOD}xdebug.log=/tmp/x.log\n")
    assert found(setup, "php.xdebug.secret.logged") == []
    nginx = "log_format a '$remote_addr $cookie_XDEBUG_TRIGGER';\nlog_format b '$http_cookie';\nlog_format c '$status';"
    checks = found(setup_of(tmp_path, GOOD, pool=POOL, nginx=nginx), "php.xdebug.secret.access_log")
    assert [check.message.partition(":")[2].split(":")[0] for check in checks] == ["1", "2"]
    check = one(
        setup_of(tmp_path, GOOD, pool=POOL, nginx="map $arg_XDEBUG_TRIGGER $up { default a; }"),
        "php.xdebug.secret.access_log",
    )
    assert (check.fix or "").startswith("$cookie_XDEBUG_TRIGGER")
    pool = f'{POOL}access.format = "%p %{{HTTP_COOKIE}}e"\n'
    assert "www.conf:3" in one(setup_of(tmp_path, GOOD, pool=pool), "php.xdebug.secret.access_log").message
    web = (WebLine(WebKind.LOG_FORMAT, "x", "%h %{Cookie}i", Place("apache2.conf", 9)),)
    assert "apache2.conf:9" in one(setup_of(tmp_path, GOOD, web=web), "php.xdebug.secret.access_log").message


# --- output ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (Output("/p", "www", WWW, exists=False), "php.xdebug.output_dir"),
        (Output("/p", "www", WWW, True, False, 0o755, 1 << 40), "php.xdebug.output_dir"),
        (Output("/p", "www", WWW, error="Permission denied"), "php.xdebug.output_dir"),
        (Output("/tmp", "www", WWW, True, True, 0o1777, 1 << 40), "php.xdebug.output_public"),
        (Output("/p", "www", WWW, True, True, 0o700, 1 << 40, "/proc/7/root/p"), "php.xdebug.output_private"),
        (Output("/p", "www", WWW, True, True, 0o700, 1 << 20), "php.xdebug.output_full"),
        (Output("/srv/www/p", "www", WWW, True, True, 0o700, 1 << 40), "php.xdebug.output_served"),
    ],
)
def test_directories(tmp_path: Path, output: Output, name: str) -> None:
    setup = setup_of(tmp_path, GOOD, pool=POOL, outputs=(output,), docroots=("/srv/www",))
    check = found(setup, name)[0]
    assert check.message.startswith(f"php.ini:5: xdebug.output_dir {output.path}")
    assert check.fix
    assert name in warnings(setup)


def test_a_hostile_directory_cannot_make_the_fix_a_trap(tmp_path: Path) -> None:
    output = Output("/p; rm -rf $HOME", "www", WWW, exists=False)
    assert one(setup_of(tmp_path, GOOD, pool=POOL, outputs=(output,)), "php.xdebug.output_dir").fix == (
        "install -d -m 0700 -o www-data '/p; rm -rf $HOME'"
    )


def test_directories_matter_where_something_is_written(tmp_path: Path) -> None:
    output = Output("/p", "", None, exists=False)
    assert warnings(setup_of(tmp_path, "xdebug.mode=off\n", outputs=(output,))) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "php.xdebug.output_name"),
        ("xdebug.profiler_output_name=p.%p\n", "php.xdebug.output_name"),
        ("xdebug.profiler_output_name=p.%s.%t\n", "php.xdebug.output_name"),
        ("xdebug.profiler_output_name=p.%r\nxdebug.profiler_append=1\n", "php.xdebug.append"),
        (f"xdebug.profiler_output_name={'x' * 200}.%R.%r\n", "php.xdebug.output_name_long"),
        ("xdebug.profiler_output_name=p.%r\nxdebug.use_compression=1\n", "php.xdebug.compression"),
    ],
)
def test_names_of_files(tmp_path: Path, line: str, name: str) -> None:
    ini = f"{GOOD.rpartition('xdebug.profiler_output_name')[0]}{line}"
    setup = setup_of(tmp_path, ini, pool=POOL, outputs=(Output("/p", "www", WWW, True, True, 0o700, 1 << 40),))
    assert warnings(setup) == [name]


def test_compression_with_zlib(tmp_path: Path) -> None:
    zlib = Xdebug((3, 2), "3.2.0", True)
    setup = setup_of(tmp_path, f"{GOOD}xdebug.use_compression=1\n", xdebug=zlib)
    assert warnings(setup) == []
    trace = setup_of(tmp_path, "xdebug.mode=trace\nxdebug.use_compression=1\n", xdebug=zlib)
    assert "4 times as slow" in one(trace, "php.xdebug.compression").message


# --- PHP and php-fpm ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ini", "pool", "name", "level"),
    [
        ("memory_limit=-1\n", POOL, "php.memory_limit", "warning"),
        ("memory_limit=32M\n", POOL, "php.memory_limit", "info"),
        ("", f"{POOL}php_admin_value[memory_limit] = -1\n", "php.memory_limit", "warning"),
        (f"{GOOD}max_execution_time=30\n", POOL, "php.max_execution_time", "warning"),
        (GOOD, f"{POOL}php_value[max_execution_time] = 60\n", "php.max_execution_time", "warning"),
        (GOOD, f"{POOL}request_terminate_timeout = 30s\n", "php.fpm.request_terminate_timeout", "warning"),
        ("", f"{POOL}pm.max_requests = 500\n", "php.fpm.max_requests", "info"),
        ("opcache.enable=0\n", POOL, "php.opcache", "warning"),
        (f"{GOOD}opcache.jit_buffer_size=64M\nopcache.jit=tracing\n", POOL, "php.jit", "warning"),
        ("disable_functions=exec,fopen\n", POOL, "php.disable_functions", "warning"),
        ("disable_functions=exec,getrusage\n", POOL, "php.disable_functions", "info"),
        ("auto_prepend_file=/srv/x.php\n", POOL, "php.auto_prepend_file", "info"),
        ("", f"{POOL}env[USE_ZEND_ALLOC] = 0\n", "php.allocator", "info"),
        ("", POOL, "php.fpm.dumpable", "info"),
    ],
)  # fmt: skip
def test_settings_that_are_in_the_way(tmp_path: Path, ini: str, pool: str, name: str, level: str) -> None:
    check = one(setup_of(tmp_path, ini, pool=pool), name)
    assert check.level == level
    assert ":" in check.message


@pytest.mark.parametrize(
    ("ini", "pool", "name"),
    [
        ("memory_limit=256M\n", POOL, "php.memory_limit"),
        ("xdebug.mode=off\nmax_execution_time=30\n", POOL, "php.max_execution_time"),
        (f"{GOOD}max_execution_time=0\n", POOL, "php.max_execution_time"),
        ("", f"{POOL}request_terminate_timeout = 30s\n", "php.fpm.request_terminate_timeout"),
        ("xdebug.mode=off\nopcache.jit_buffer_size=64M\nopcache.jit=tracing\n", POOL, "php.jit"),
        ("", f"{POOL}process.dumpable = yes\n", "php.fpm.dumpable"),
        ("auto_prepend_file=none\n", POOL, "php.auto_prepend_file"),
    ],
)
def test_settings_that_are_not(tmp_path: Path, ini: str, pool: str, name: str) -> None:
    assert found(setup_of(tmp_path, ini, pool=pool), name) == []


def test_the_allocator_turned_off(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "", environment={"USE_ZEND_ALLOC": "0"})
    assert one(setup, "php.allocator").level is CheckLevel.WARNING
    assert one(replace(setup, running=True, ptrace_scope=1), "php.ptrace_scope").message.endswith("root only")


def test_what_php_fpm_would_tell_without_code(tmp_path: Path) -> None:
    fix = one(setup_of(tmp_path, "", pool=POOL), "php.fpm.without_code").fix or ""
    assert [line.split(" =")[0] for line in fix.splitlines()] == [
        "pm.status_path",
        "pm.status_listen",
        "ping.path",
        "access.log",
        "access.format",
    ]
    form = compile_format(fix.splitlines()[-1].partition(" = ")[2].strip('"'))
    assert {"p", "e:HTTP_TRACEPARENT"} <= form.names, "what it recommends ties a line to its worker and request"
    pool = f"{POOL}pm.status_path = /s\nping.path = /p\naccess.log = /l\n"
    for variable in ("HTTP_TRACEPARENT", "UNIQUE_ID"):
        setup = setup_of(tmp_path, "", pool=f'{pool}access.format = "%p %{{{variable}}}e %{{bytes}}M %{{micro}}d"\n')
        assert found(setup, "php.fpm.without_code") == []
    setup = setup_of(tmp_path, "", pool=f'{pool}access.format = "%p %{{REQUEST_ID}}e %M %d"\n')
    assert (one(setup, "php.fpm.without_code").fix or "").startswith("access.format"), "nobody sends that id"


# --- what is known and what is not ---------------------------------------------------------------------------------------------


def test_what_could_not_be_read_is_said(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "", unread=(Unread("the environment of php 7", "no permission", "run as root"),))
    check = one(setup, "php.unread")
    assert (check.message, check.fix) == ("the environment of php 7 could not be read: no permission", "run as root")


def test_a_configuration_that_changed_since_the_start(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "", version=None, mapped_xdebug=True)
    assert "has Xdebug in its memory" in one(setup, "php.xdebug.restart").message
    setup = setup_of(tmp_path, "xdebug.mode=off\n", mapped_xdebug=False)
    assert "does not have Xdebug" in one(setup, "php.xdebug.restart").message
    assert found(setup_of(tmp_path, "xdebug.mode=off\n", mapped_xdebug=True), "php.xdebug.restart") == []


INI_LINES = st.builds(
    "{}={}".format,
    st.one_of(
        st.sampled_from(sorted(SETTINGS)), st.text(max_size=20), st.just("memory_limit"), st.just("zend_extension")
    ),
    st.one_of(
        st.sampled_from(["0", "1", "profile", "trace,profile", "trigger", "yes", "xdebug", "-1"]), st.text(max_size=40)
    ),
)


@given(
    st.lists(INI_LINES, max_size=8), st.sampled_from([None, (2, 5), (2, 9), (3, 0), (3, 2), (3, 5)]),
    st.dictionaries(st.sampled_from(["XDEBUG_MODE", "XDEBUG_CONFIG", "USE_ZEND_ALLOC"]), st.text(max_size=20)),
    st.booleans(),
)  # fmt: skip
def test_whatever_is_configured_is_judged(
    lines: list[str], version: tuple[int, int] | None, environment: dict[str, str], asked: bool
) -> None:
    """Nothing of it stops a run, and each mistake has its fix."""
    directives = parse_ini("\n".join(lines), "php.ini")
    setup = Setup(
        "php", Sapi.FPM, "/php", (8, 2), in_force={d.name: d.value for d in directives} if asked else None,
        directives=directives, environment=environment, xdebug=Xdebug(version, "x" if version else ""),
    )  # fmt: skip
    for check in mistakes(setup):
        assert check.level is not CheckLevel.ERROR
        assert check.name.startswith("php.")
        assert check.fix or check.level is CheckLevel.INFO
    json.dumps([check.message for check in mistakes(setup)])


@given(st.text("BCDFGHJKQVWXYZ0123456789", min_size=12, max_size=60))
def test_secrets_are_never_shown(secret: str) -> None:
    ini = "".join(
        f"xdebug.{name}={secret}\n"
        for name in ("trigger_value", "profiler_enable_trigger_value", "trace_enable_trigger_value")
    )
    for version in (None, (2, 9), (3, 2)):
        directives = parse_ini(f"xdebug.mode=profile\nxdebug.start_with_request=trigger\n{ini}", "php.ini")
        setup = Setup(
            "php", Sapi.FPM, "/php", (8, 2), directives=directives, xdebug=Xdebug(version, "x" if version else "")
        )
        assert secret not in f"{mistakes(setup)}"


# --- words, variables and pools --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Off", "none", "No", "FALSE", "null", "off ; not now"])
def test_a_mode_that_php_reads_as_nothing_is_off(tmp_path: Path, word: str) -> None:
    setup = setup_of(tmp_path, f"zend_extension=xdebug.so\nxdebug.mode = {word}\n")
    assert setup.modes == frozenset()
    assert not found(setup, "php.xdebug.mode_unknown")


def test_a_quoted_off_is_no_mode(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, 'zend_extension=xdebug.so\nxdebug.mode = "Off"\n')
    assert setup.modes == {"develop"}
    assert "Off is no mode" in one(setup, "php.xdebug.mode_unknown").message


@pytest.mark.parametrize(
    ("word", "start"),
    [
        ("On", "yes"),
        ("1", "yes"),
        ("TRUE", "yes"),
        ("off", "no"),
        ("no", "no"),
        ("trigger", "trigger"),
        ("Trigger", "default"),
    ],
)
def test_when_xdebug_starts_in_phps_words(tmp_path: Path, word: str, start: str) -> None:
    setup = setup_of(tmp_path, f"zend_extension=xdebug.so\nxdebug.mode=profile\nxdebug.start_with_request = {word}\n")
    assert setup.start == start
    assert bool(found(setup, "php.xdebug.every_request")) is (start in ("yes", "default"))


def test_what_a_pool_set_is_corrected_in_the_pools_words(tmp_path: Path) -> None:
    """php-fpm does not start with a plain ``memory_limit`` in a pool, and php.ini does not win over the pool."""
    pool = POOL + "php_admin_value[memory_limit] = -1\nphp_admin_flag[opcache.enable] = off\n"
    setup = setup_of(tmp_path, "", pool=pool, version=None)
    assert one(setup, "php.memory_limit").fix == "php_admin_value[memory_limit] = 256M"
    opcache = one(setup, "php.opcache")
    assert opcache.fix == "php_admin_value[opcache.enable] = 1"
    assert opcache.message.startswith("www.conf:4: opcache is off")
