"""Where the output directory is, as scenarios say it: strict, for these texts become words of command lines."""

from __future__ import annotations

import pytest

from adapters.php.xdebug.elsewhere.place import ContainerPlace, HostPlace, ProcessPlace, parse_place, sampled_host
from harness.errors import UsageError


def test_no_place_is_our_file_system() -> None:
    assert parse_place(process=None, container=None, host=None) is None


def test_process_and_container() -> None:
    assert parse_place(process="php-fpm: pool x", container=None, host=None) == ProcessPlace("php-fpm: pool x")
    assert parse_place(process=None, container="shop_php-1", host=None) == ContainerPlace("shop_php-1")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ssh://staging", HostPlace("staging")),
        ("ssh://deploy@staging.example.org:2222", HostPlace("staging.example.org", "deploy", 2222)),
        ("ssh://[2001:db8::1]:22/", HostPlace("2001:db8::1", None, 22)),
        ("ssh://10.0.0.7", HostPlace("10.0.0.7")),
    ],
)
def test_hosts(text: str, place: HostPlace) -> None:
    found = parse_place(process=None, container=None, host=text)
    assert found == place
    assert place.address == text.rstrip("/")


def test_a_container_of_a_host() -> None:
    found = parse_place(process=None, container="shop_php-1", host="ssh://deploy@web-1")
    assert found == HostPlace("web-1", "deploy", container="shop_php-1")
    assert str(found) == "the container shop_php-1 on web-1"


@pytest.mark.parametrize(
    "text",
    [
        "staging", "http://staging", "ssh://", "ssh://-oProxyCommand=id", "ssh://-l@host", "ssh://a b", "ssh://host/path",
        "ssh://host:0", "ssh://host:65536", "ssh://host:22;id", "ssh://$(id)@host", "ssh://user:password@host", "ssh://host\n",
        "ssh://%h", "ssh://host?x", "ssh://[::1", "ssh://ho'st",
    ],
)  # fmt: skip
def test_what_is_no_address_for_ssh_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no address for ssh"):
        parse_place(process=None, container=None, host=text)


@pytest.mark.parametrize("name", ["", "-it", "--privileged", "a b", "a;id", "a/b", "a\n", "x" * 129, "$(id)"])
def test_what_is_no_container_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a container"):
        parse_place(process=None, container=name, host=None)
    with pytest.raises(UsageError, match="no name of a container"):
        parse_place(process=None, container=name, host="ssh://web-1")


def test_short_texts_match_too_much_and_places_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="too short"):
        parse_place(process="sh ", container=None, host=None)
    with pytest.raises(UsageError, match="a place of this machine"):
        parse_place(process="php-fpm", container="a", host=None)
    with pytest.raises(UsageError, match="a place of this machine"):
        parse_place(process="php-fpm", container=None, host="ssh://web-1")


def test_a_host_that_is_sampled_is_known_by_its_address() -> None:
    hosts = {"ssh://web-2": "two", "ssh://root@web-1:22": "one", "kubectl://shop/web-1": "pod"}
    assert sampled_host(HostPlace("web-1", "deploy"), hosts) == "one"
    assert sampled_host(HostPlace("web-1", container="php"), hosts) == "one"
    assert sampled_host(HostPlace("web-1", None, 2222), hosts) is None
    assert sampled_host(HostPlace("web-3"), hosts) is None
    assert sampled_host(ContainerPlace("web-1"), hosts) == ""
    assert sampled_host(None, hosts) == ""
