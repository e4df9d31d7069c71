"""Options of an adapter for targets in other places."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import UsageError
from harness.scenario.target import TargetSpec
from harness.session.options import check_names, check_options, options_for, reaches_out

XDEBUG = {"secret": "0123456789abcdef", "output_dir": "/var/lib/x"}
ATTACH = {"match": "php-fpm: "}


def target(**data: Any) -> TargetSpec:
    return TargetSpec.model_validate({"runtime": "php", **data})


def test_the_only_host_has_the_files() -> None:
    spec = target(host="ssh://deploy@web-1", attach=ATTACH)
    found = options_for({"xdebug": XDEBUG}, spec)
    assert found.of_adapter == {"xdebug": {**XDEBUG, "host": "ssh://deploy@web-1"}}
    assert found.hosts == {"ssh://deploy@web-1": "web-1"}


def test_the_only_container_of_the_only_host_has_the_files() -> None:
    spec = target(host={"host": "ssh://deploy@web-1", "container": "php"}, php={"xdebug": XDEBUG})
    found = options_for({"xdebug": XDEBUG}, spec).of_adapter
    assert found == {"xdebug": {**XDEBUG, "host": "ssh://deploy@web-1", "container": "php"}}
    check_options(spec)


@pytest.mark.parametrize("place", [{"process": "php-fpm: pool x"}, {"container": "second"}, {"host": "ssh://other"}])
def test_what_the_scenario_says_holds(place: dict[str, str]) -> None:
    options = {"xdebug": {**XDEBUG, **place}}
    assert options_for(options, target(host="ssh://web-1", attach=ATTACH)).of_adapter == options


@pytest.mark.parametrize(
    "places",
    [
        {"hosts": ["ssh://web-1", "ssh://web-2"], "attach": ATTACH},
        {"host": {"host": "ssh://web-1", "containers": ["php", "xdebug"]}},
        {"host": "kubectl://shop/web-1", "attach": ATTACH},
    ],
)
def test_where_it_is_not_certain_nothing_is_guessed(places: dict[str, Any]) -> None:
    spec = target(**places, php={"xdebug": XDEBUG})
    assert options_for({"xdebug": XDEBUG}, spec).of_adapter == {"xdebug": XDEBUG}
    with pytest.raises(UsageError, match="on which host is /var/lib/x"):
        check_options(spec)


@pytest.mark.parametrize(
    "places",
    [
        {"host": "ssh://web-1", "attach": ATTACH},
        {"container": "php"},
        {"hosts": ["local", "ssh://web-2"], "attach": ATTACH},
        {"attach": ATTACH},
    ],
)
def test_where_it_is_known(places: dict[str, Any]) -> None:
    check_options(target(**places, php={"xdebug": XDEBUG}))
    check_options(None)


def test_a_log_of_another_host_is_not_looked_for_here() -> None:
    fpm = {"access_log": "/var/log/fpm.log", "access_format": "%p", "status": "http://web-1/status"}
    found = options_for({"fpm": fpm}, target(host="ssh://web-1", attach=ATTACH))
    assert found.of_adapter == {"fpm": {"status": "http://web-1/status"}}
    [(signal, reason, _)] = found.unreachable
    assert signal == "log.records"
    assert "/var/log/fpm.log is on web-1" in reason
    assert options_for({"fpm": fpm}, target(attach=ATTACH)).of_adapter == {"fpm": fpm}


def test_one_status_page_is_not_that_of_several_hosts() -> None:
    hosts = ["ssh://web-1", "ssh://web-2"]
    found = options_for({"fpm": {"status": "http://web-1/status"}}, target(hosts=hosts, attach=ATTACH))
    assert found.of_adapter == {"fpm": {}}
    [(signal, reason, _)] = found.unreachable
    assert signal == "php.fpm.status"
    assert "web-1, web-2" in reason


def test_whether_there_is_something_to_do_without_an_agent() -> None:
    assert reaches_out(target(host="ssh://web-1", attach=ATTACH, php={"xdebug": XDEBUG}))
    assert reaches_out(target(host="ssh://web-1", attach=ATTACH, php={"fpm": {"status": "http://web-1/status"}}))
    assert not reaches_out(target(host="ssh://web-1", attach=ATTACH, php={"fpm": {"access_log": "/var/log/x"}}))
    assert not reaches_out(target(host="ssh://web-1", attach=ATTACH, php={}))


@pytest.mark.parametrize(
    ("places", "name"),
    [
        ({"containers": ["web-1", "x"], "hosts": ["ssh://web-1"], "attach": ATTACH}, "web-1"),
        ({"containers": ["a"], "hosts": [{"host": "local", "name": "app", "role": "cron", "attach": ATTACH}]}, "app"),
        ({"containers": [{"name": "x", "role": "web"}], "hosts": [{"host": "ssh://web", "containers": ["a", "b"]}]}, "web"),
        ({"hosts": [{"host": "ssh://a", "containers": ["b", "c"]}, {"host": "ssh://d", "name": "a-b"}], "attach": ATTACH}, "a-b"),
        ({"hosts": [{"host": "ssh://job"}], "attach": ATTACH}, "job"),
    ],
)  # fmt: skip
def test_pools_of_one_name_are_told_apart_by_the_user(places: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"two pools would be called '{name}'"):
        check_names(target(**places), "job")


def test_places_with_names_of_their_own_are_fine() -> None:
    hosts = [{"host": "ssh://web-1", "container": "web"}, {"host": "ssh://web-2", "containers": ["web", "db"]}, "local"]
    check_names(target(containers=["web", "db"], hosts=hosts, attach=ATTACH), "job")
    check_names(target(launch="job"), "job")
    check_names(None, "job")
