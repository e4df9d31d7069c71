"""Queries: made once, admitted once, and only when we made them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.blackfire import query
from adapters.blackfire.query import Authority, Refused, issue

SECRET = b"s" * 32
NOW = 1_800_000_000


def authority() -> Authority:
    return Authority(SECRET)


def as_the_probe_sends_it(text: str, **more: str) -> str:
    """The split of the SDKs, and what they pass on of the arguments."""
    challenge, signature, rest = re.split("(?:^|&)signature=(.+?)(?:&|$)", text, maxsplit=2)
    allowed = {
        k: v for k, v in parse_qsl(rest) if k in ("aggreg_samples", "profile_title", "sub_profile", "config_yml")
    }
    return f"{challenge}&signature={signature}&{urlencode({**allowed, **more})}"


def test_a_query_is_admitted_once() -> None:
    made = issue(SECRET, NOW + 10, {"aggreg_samples": "1", "profile_title": "a title"})
    keeper = authority()
    claim = keeper.admit(as_the_probe_sends_it(made.text), NOW)
    assert claim.request_id == claim.name == made.request_id
    assert claim.title == "a+title"
    with pytest.raises(Refused, match="used before"):
        keeper.admit(made.text, NOW)


def test_every_query_is_another_one() -> None:
    assert len({issue(SECRET, NOW).request_id for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not made by this run"),
        ("signature=x", "not made by this run"),
        ("expires=1893456000&agentIds=request-id-x&signature=bG9jYWw=&aggreg_samples=1", "not made by this run"),
        ("x" * 9000, "too long"),
    ],
)
def test_what_others_made_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        authority().admit(text, NOW)


def test_another_runs_query_an_old_one_and_a_changed_one_are_refused() -> None:
    with pytest.raises(Refused, match="not made by this run"):
        authority().admit(issue(b"t" * 32, NOW + 10).text, NOW)
    with pytest.raises(Refused, match="expired"):
        authority().admit(issue(SECRET, NOW - 1).text, NOW)
    made = issue(SECRET, NOW - 1)
    with pytest.raises(Refused, match="not made by this run"):
        authority().admit(made.text.replace(f"expires={NOW - 1}", f"expires={NOW + 10}"), NOW)


@given(st.text(max_size=300))
def test_no_text_is_admitted_by_chance(text: str) -> None:
    with pytest.raises(Refused):
        authority().admit(text, NOW)


def test_each_sub_profile_comes_once_and_not_before_its_profile() -> None:
    made = issue(SECRET, NOW + 10)
    keeper = authority()
    with pytest.raises(Refused, match="without its profile"):
        keeper.admit(as_the_probe_sends_it(made.text, sub_profile=":abc"), NOW)
    keeper.admit(made.text, NOW)
    child = keeper.admit(as_the_probe_sends_it(made.text, sub_profile=":00abcdef1"), NOW)
    assert child.name == f"{made.request_id}-00abcdef1"
    assert child.sub_profile == ":00abcdef1"
    assert keeper.admit(as_the_probe_sends_it(made.text, sub_profile="00abcdef1:2"), NOW).sub_profile == "00abcdef1:2"
    for wrong in (":00abcdef1", "x:../../etc", ":", "a:b:c"):
        with pytest.raises(Refused, match=r"came before|without its profile"):
            keeper.admit(as_the_probe_sends_it(made.text, sub_profile=wrong), NOW)


def test_the_number_of_sub_profiles_and_of_queries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "SUB_PROFILES_CAP", 2)
    monkeypatch.setattr(query, "_USED_CAP", 1)
    made = issue(SECRET, NOW + 10)
    keeper = authority()
    for extra in ({}, {"sub_profile": ":1"}, {"sub_profile": ":2"}):
        keeper.admit(as_the_probe_sends_it(made.text, **extra), NOW)
    with pytest.raises(Refused, match="too many sub-profiles"):
        keeper.admit(as_the_probe_sends_it(made.text, sub_profile=":3"), NOW)
    with pytest.raises(Refused, match="too many queries"):
        keeper.admit(issue(SECRET, NOW + 10).text, NOW)


def test_asking_for_the_yaml() -> None:
    made = issue(SECRET, NOW + 10, yaml=True)
    assert f"agentIds=request-id-{made.request_id},request-id-blackfire-yml&" in made.text
    assert authority().admit(made.text, NOW).request_id == made.request_id
