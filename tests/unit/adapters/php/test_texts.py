"""Parsers and generators of small texts: phpinfo, configuration, options, explanations."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from adapters.php.accounts import Account, current_account
from adapters.php.adapter import ADAPTER
from adapters.php.agent_files import install_agent, php_literal
from adapters.php.deployment.files import DeploymentPlan, deployment_files
from adapters.php.installed import parse_phpinfo, xdebug_package
from adapters.php.options import Serve, read_options
from adapters.php.servers.nginx import NginxConfig, Route, render_nginx
from adapters.php.servers.served import existing_prepend
from adapters.php.state import Places, State, read_state, write_state
from adapters.php.xdebug import settings as xdebug
from adapters.php.xdebug.tools import PROFILE
from harness.errors import UsageError
from harness.plugins.spec import AdapterContext, LaunchPlan

# --- phpinfo --------------------------------------------------------------------------------------------------------

PHPINFO = """\
phpinfo()
PHP Version => 8.2.36

    with Zend OPcache v8.2.36, Copyright (c), by Zend Technologies
{xdebug}
Directive => Local Value => Master Value
auto_prepend_file => /local.php => /master.php
open_basedir => no value => no value
disable_functions => exec,fopen => exec,fopen
"""


def test_phpinfo_tells_version_xdebug_and_master_values() -> None:
    build = parse_phpinfo(
        "php", PHPINFO.format(xdebug="    with Xdebug v3.2.0, Copyright (c) 2002-2022, by Derick Rethans")
    )
    assert build is not None
    assert (build.version, build.minor, build.xdebug) == ("8.2.36", "8.2", "3.2.0")
    assert build.directives == {
        "auto_prepend_file": "/master.php", "open_basedir": "", "disable_functions": "exec,fopen"
    }  # fmt: skip
    assert xdebug_package(build).startswith("apt-get install php8.2-xdebug")


def test_without_xdebug_and_without_php() -> None:
    build = parse_phpinfo("php", PHPINFO.format(xdebug=""))
    assert build is not None
    assert build.xdebug is None
    assert parse_phpinfo("sh", "sh: -i: invalid option") is None


# --- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "expected"), [(None, ":/ours"), ("", "/ours"), ("/a", "/a:/ours"), (":/a", ":/a:/ours")]
)
def test_our_ini_directory_comes_after_those_php_reads_anyway(current: str | None, expected: str) -> None:
    assert xdebug.scan_dir_env(Path("/ours"), current) == {"PHP_INI_SCAN_DIR": expected}


def test_scripts_are_profiled_always_and_requests_only_with_the_secret() -> None:
    script = xdebug.settings_of(PROFILE, Path("/p"), None, load=False)
    request = xdebug.settings_of(PROFILE, Path("/p"), "s3", load=True)
    assert script["xdebug.start_with_request"] == "yes"
    assert "zend_extension" not in script, "loading it twice makes PHP complain at every start"
    assert (request["xdebug.start_with_request"], request["xdebug.trigger_value"]) == ("trigger", "s3")
    assert next(iter(request)) == "zend_extension"


def nginx_config(**changes: object) -> NginxConfig:
    values: dict[str, object] = {
        "listen": "127.0.0.1:1", "docroot": Path("/srv/app"), "front_controller": "index.php", "main": Path("/m.sock"),
        "routes": (Route("xdebug", "ab" * 16, Path("/x.sock")),), "account": Account("www-data", "www-data", 33, 33, switch=True),
        "state_dir": Path("/state"), **changes,
    }  # fmt: skip
    return NginxConfig(**values)  # type: ignore[arg-type]  # built from a mapping on purpose


def test_nginx_falls_back_to_the_front_controller_or_to_404() -> None:
    assert "try_files $uri $uri/ /index.php$is_args$args;" in render_nginx(nginx_config())
    assert "try_files $uri $uri/ =404;" in render_nginx(nginx_config(front_controller=None))
    assert "user www-data www-data;" in render_nginx(nginx_config())
    assert "\nuser " not in render_nginx(nginx_config(account=current_account()))


@pytest.mark.parametrize(
    "changes",
    [{"docroot": Path('/a"; evil')}, {"docroot": Path("/$x")}, {"front_controller": "a';x"}, {"main": Path("/a\nb")}],
)
def test_paths_cannot_escape_into_the_configuration(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="would interpret"):
        render_nginx(nginx_config(**changes))


def deployment(**changes: object) -> DeploymentPlan:
    values: dict[str, object] = {
        "fpm": "/usr/sbin/php-fpm8.2", "upstream": "unix:/run/php/php8.2-fpm.sock",
        "account": Account("www-data", "www-data", 33, 33, switch=True), "directory": Path("/etc/harness"),
        "output_dir": Path("/var/lib/profiles"), "socket": Path("/run/harness.sock"), "secret": "0123456789abcdef",
        "load_xdebug": True, **changes,
    }  # fmt: skip
    return DeploymentPlan(**values)  # type: ignore[arg-type]  # built from a mapping on purpose


def test_the_deployment_names_the_secret_only_where_it_must_be() -> None:
    files = deployment_files(deployment())
    assert {name for name, text in files.items() if "0123456789abcdef" in text} == {
        "ini/harness-xdebug.ini", "ini-trace/harness-xdebug.ini", "nginx-map.conf", "apache-route.conf"
    }  # fmt: skip
    assert "${XDEBUG_SECRET}" in files["scenario-part.yaml"]


def test_the_command_of_the_readme_finds_the_secret(tmp_path: Path) -> None:
    files = deployment_files(deployment(directory=tmp_path))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    [export] = [line.strip() for line in files["README.txt"].splitlines() if "export XDEBUG_SECRET=" in line]
    shown = subprocess.run(["sh", "-c", f'{export}; echo "$XDEBUG_SECRET"'], capture_output=True, text=True, check=True)
    assert shown.stdout == "0123456789abcdef\n"


@pytest.mark.parametrize(
    "changes", [{"secret": "short"}, {"secret": 'x"; evil {' * 3}, {"upstream": 'a"; evil'}, {"socket": Path('/a"b')}]
)
def test_a_deployment_that_cannot_be_written_safely_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        deployment_files(deployment(**changes))


# --- the agent's files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a'b", "a\\", "\\'", "$x {$y}", "?>", "\n", "<?php"])
def test_php_literals_hold_any_text(text: str, tmp_path: Path) -> None:
    script = tmp_path / "x.php"
    script.write_text(f"<?php echo {php_literal(text)};")
    done = subprocess.run(["php", "-n", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_programs_with_different_prepend_files_get_different_agents(tmp_path: Path) -> None:
    places = Places(tmp_path / "work")
    plain, chained = install_agent(places, None), install_agent(places, "/own.php")
    assert install_agent(places, None) == plain != chained
    assert "'chain' => null" in (plain.directory / "config.php").read_text()
    assert "'chain' => '/own.php'" in (chained.directory / "config.php").read_text()
    [records] = places.records.iterdir()
    assert str(records) in (chained.directory / "config.php").read_text()


def test_the_prepend_file_of_the_application_is_found(tmp_path: Path) -> None:
    serve = Serve(tmp_path, "127.0.0.1:1", 1, None, {})
    assert existing_prepend(serve, {}) is None
    assert existing_prepend(serve, {"auto_prepend_file": "none"}) is None
    assert existing_prepend(serve, {"auto_prepend_file": "/php.ini"}) == "/php.ini"
    with_ini = Serve(tmp_path, "127.0.0.1:1", 1, None, {"auto_prepend_file": "/scenario"})
    assert existing_prepend(with_ini, {"auto_prepend_file": "/php.ini"}) == "/scenario"
    (tmp_path / ".user.ini").write_text(
        "; auto_prepend_file = /no\nmemory_limit=1G\n auto_prepend_file = '/a b/waf.php'\n"
    )
    assert existing_prepend(with_ini, {}) == "/a b/waf.php"


def test_the_state_survives_and_its_absence_is_known(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert read_state(places) is None
    places.root.mkdir()
    state = State(("xdebug",), {"xdebug": "http://127.0.0.1:1"}, load_xdebug=False, xdebug="3.2.0")
    write_state(places, state)
    assert read_state(places) == state


# --- options, recognition, explanations -----------------------------------------------------------------------------


def context(tmp_path: Path, **options: object) -> AdapterContext:
    return AdapterContext(tmp_path, "ab" * 16, options, ("xdebug",), scenario_dir=tmp_path)


def test_options_have_defaults_and_absolute_paths(tmp_path: Path) -> None:
    options = read_options(
        context(tmp_path, ini={"a": "1", "b": "1"}, serve={"docroot": "pub", "ini": {"b": "2"}}, xdebug=None)
    )
    assert options.serve == Serve(tmp_path / "pub", "127.0.0.1:8080", 4, "index.php", {"a": "1", "b": "2"})
    assert options.serve.address == ("127.0.0.1", 8080)
    assert Serve(tmp_path, "[::1]:81", 1, None, {}).address == ("::1", 81)
    assert options.xdebug is None
    assert read_options(context(tmp_path)).serve is None


def test_a_front_controller_of_null_stays_none(tmp_path: Path) -> None:
    serve = read_options(context(tmp_path, serve={"docroot": ".", "front_controller": None})).serve
    assert serve is not None
    assert serve.front_controller is None


@pytest.mark.parametrize(
    ("comm", "cmdline", "exe", "expected"),
    [
        ("php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", "/usr/sbin/php-fpm8.2", True),
        ("php-fpm8.2", "php-fpm: pool www", "", True),
        ("php", "php -S localhost:8000", "/usr/bin/php8.2", True),
        ("worker", "php artisan queue:work", "", True),
        ("python3", "python3 php.py", "/usr/bin/python3.11", False),
        ("phpstorm", "phpstorm", "/opt/phpstorm/bin/phpstorm", False),
        ("nginx", "nginx: worker process", "/usr/sbin/nginx", False),
    ],
)
def test_php_processes_are_recognised(comm: str, cmdline: str, exe: str, *, expected: bool) -> None:
    assert ADAPTER.recognises(comm, cmdline, exe) is expected


def explain(tmp_path: Path, tail: str = "", *words: str, **options: object) -> str:
    return ADAPTER.explain_silence(context(tmp_path, **options), [LaunchPlan("app", words)], tail)


def test_silence_is_explained_by_what_is_known(tmp_path: Path) -> None:
    assert "records file is gone" in explain(tmp_path)
    install_agent(Places(tmp_path), None)
    failed = "PHP Fatal error:  Unknown: Failed opening required '/x/php/agent/prepend.php' (include_path='.')"
    assert "open_basedir" in explain(tmp_path, failed)
    assert "static files" in explain(tmp_path, serve={"docroot": "."})
    (tmp_path / "php" / "access.log").write_text("1 200 2 3 - GET /\n")
    assert "disable_functions" in explain(tmp_path, serve={"docroot": "."})
    assert "PHP_INI_SCAN_DIR" in explain(tmp_path, "", "bin/server")
    assert "still running" in explain(tmp_path, "", "php", "-d", "auto_prepend_file=/x", "worker.php")


def test_tools_it_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tool 'memprof'"):
        ADAPTER.trigger(context(tmp_path), "memprof")
    with pytest.raises(ValueError, match="no tool"):
        ADAPTER.parse("memray", tmp_path)
