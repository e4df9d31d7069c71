from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.targets.connectors.ssh import SshConnector, SshPlace, parse_place


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("ssh://staging-1", SshPlace("staging-1")),
        ("ssh://Staging.Alias/", SshPlace("Staging.Alias")),
        ("ssh://deploy@10.0.0.7:2222", SshPlace("10.0.0.7", "deploy", 2222)),
        ("ssh://deploy@[fe80::1%25eth0]:22", None),
        ("ssh://[2001:db8::1]", SshPlace("2001:db8::1")),
    ],
)
def test_addresses(url: str, place: SshPlace | None) -> None:
    if place is not None:
        assert parse_place(url) == place
    else:
        assert parse_place(url).user == "deploy"


@pytest.mark.parametrize(
    "url",
    ["", "staging-1", "http://a", "ssh://", "ssh://-oProxyCommand=x", "ssh://-a@b", "ssh://a/b", "ssh://a:0x5", "ssh://a:99999", "ssh://u:secret@a",
     "ssh://a?b", "ssh://a b", "ssh://a\nb", "ssh://$(id)", "ssh://a;b", "ssh://@a"],
)  # fmt: skip
def test_what_is_no_address_never_reaches_the_client(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a host") as caught:
        parse_place(url)
    assert "secret" not in str(caught.value)


def test_host_keys_are_checked_as_the_user_has_set_it_up() -> None:
    words = SshConnector(SshPlace("a", "b", 5)).command(["true", "two words"])
    assert not any("StrictHostKeyChecking" in word or "UserKnownHostsFile" in word or word == "-F" for word in words)
    assert words[-6:] == ["-l", "b", "-p", "5", "a", "true 'two words'"]
    assert "BatchMode=yes" in words
