"""Texts of Apache's configuration, and which of several mod_php is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.php.accounts import Account
from adapters.php.servers import apache_installed
from adapters.php.servers.apache import ApacheConfig, Fpm, ModPhp, render_apache
from adapters.php.servers.apache_installed import find_apache
from adapters.php.servers.nginx import Route
from harness.errors import UsageError

WEB = Account("www-data", "www-data", 33, 33, switch=True)
FRONT = ApacheConfig(
    listen="127.0.0.1:8080",
    docroot=Path("/srv/my site"),
    front_controller="index.php",
    php=Fpm(Path("/run/main.sock"), [Route("xdebug", "secret-1", Path("/run/xdebug.sock"))]),
    account=WEB,
    state_dir=Path("/run/apache"),
    modules=Path("/usr/lib/apache2/modules"),
    there=frozenset({"mpm_event", "mpm_prefork", "proxy", "proxy_fcgi", "proxy_http", "rewrite", "dir", "lua"}),
)
INSIDE = replace(FRONT, php=ModPhp(Path("/m/libphp8.2.so"), 3, {}, {"auto_prepend_file": "/run/a b/prepend.php"}))


def lines(config: ApacheConfig) -> list[str]:
    return [line.strip() for line in render_apache(config).splitlines()]


def test_scripts_go_to_the_main_master_and_with_the_secret_to_the_other() -> None:
    text = lines(FRONT)
    assert 'SetHandler "proxy:unix:/run/main.sock|fcgi://main"' in text
    at = text.index('SetHandler "proxy:unix:/run/xdebug.sock|fcgi://xdebug"')
    assert "XDEBUG_TRIGGER=secret-1(?:;|$)" in text[at - 1]
    assert 'DocumentRoot "/srv/my site"' in text
    assert 'FallbackResource "/index.php"' in text


def test_a_document_root_is_no_pattern() -> None:
    text = lines(replace(FRONT, docroot=Path("/srv/a[b]*?")))
    assert 'DocumentRoot "/srv/a[b]*?"' in text
    assert '<Directory "/srv/a[[]b][*][?]">' in text


def test_only_modules_that_are_needed_and_there_are_loaded() -> None:
    loaded = [line.split()[1] for line in lines(FRONT) if line.startswith("LoadModule")]
    assert loaded == ["mpm_event_module", "proxy_module", "proxy_fcgi_module", "dir_module", "rewrite_module"]
    alone = [line.split()[1] for line in lines(INSIDE) if line.startswith("LoadModule")]
    assert alone == ["mpm_prefork_module", "dir_module", "rewrite_module", "php_module"]


def test_inside_apache_each_worker_is_a_process() -> None:
    text = lines(INSIDE)
    assert {"StartServers 3", "MaxRequestWorkers 3", "ServerLimit 3", "KeepAlive Off"} <= set(text)
    assert 'php_admin_value auto_prepend_file "/run/a b/prepend.php"' in text
    assert not any(line.startswith("Rewrite") for line in text)


def test_companions_are_reached_by_the_cookie_alone() -> None:
    assert isinstance(INSIDE.php, ModPhp)
    text = lines(replace(INSIDE, php=replace(INSIDE.php, companions={"s1": "127.0.0.1:9001", "s2": "127.0.0.1:9002"})))
    assert [line for line in text if line.startswith("RewriteRule")] == [
        "RewriteRule ^ http://127.0.0.1:9001%1 [P,NE,L]",
        "RewriteRule ^ http://127.0.0.1:9002%1 [P,NE,L]",
    ]
    assert "RewriteCond %{HTTP_COOKIE} (?:^|;\\s*)XDEBUG_TRIGGER=s1(?:;|$)" in text


def test_without_front_controller_and_without_changing_the_user() -> None:
    text = lines(replace(FRONT, front_controller=None, account=replace(WEB, switch=False)))
    assert not any(line.startswith(("FallbackResource", "User ", "Group ")) for line in text)


@pytest.mark.parametrize(
    "config",
    [
        replace(FRONT, docroot=Path('/srv/a"b')),
        replace(FRONT, front_controller='x"\nInclude /etc/shadow'),
        replace(FRONT, php=Fpm(Path("/run/main.sock"), [Route("xdebug", "a|b)/ ", Path("/run/x.sock"))])),
    ],
)
def test_what_apache_would_interpret_is_refused(config: ApacheConfig) -> None:
    with pytest.raises(UsageError):
        render_apache(config)


@pytest.mark.parametrize(("php", "version"), [("php8.2", "8.2"), ("php7.4", "8.10"), (None, "8.10")])
def test_the_module_of_the_php_in_path_is_taken_else_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, php: str | None, version: str
) -> None:
    modules, programs = tmp_path / "modules", tmp_path / "bin"
    modules.mkdir()
    programs.mkdir()
    for name in ("mod_rewrite.so", "libphp8.2.so", "libphp8.10.so", "libphp8.9.so", "httpd.exp"):
        (modules / name).touch()
    (programs / "apache2").touch()
    if php is not None:
        (programs / php).touch()
        (programs / "php").symlink_to(programs / php)
    monkeypatch.setattr(apache_installed, "_MODULES", (str(tmp_path / "absent"), str(modules)))
    monkeypatch.setattr(apache_installed, "find_program", finder(programs))
    found = find_apache()
    assert found is not None
    assert (found.version, found.library) == (version, modules / f"libphp{version}.so")
    assert found.there == {"rewrite"}


def finder(programs: Path) -> Callable[[str], str | None]:
    return lambda name: str(programs / name) if (programs / name).exists() else None


def test_without_modules_there_is_no_apache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apache_installed, "_MODULES", (str(tmp_path / "absent"),))
    assert find_apache() is None
