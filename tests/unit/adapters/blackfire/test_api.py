"""The API client against a stand-in for Blackfire's API: the same requests as the SDK, every trouble one clear error, and
no token in anything that is said. Nothing here was tried at blackfire.io; for that is the live test at the end."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackfire_api import (
    CLIENT_ID,
    CLIENT_TOKEN,
    COLLAB_TOKEN,
    ENVELOPE,
    PROFILE_UUID,
    QUERY_STRING,
    SIGNATURE,
    Answer,
    StandInApi,
    captured,
    stand_in_api,
)

from adapters.blackfire.api import Api, ApiError
from adapters.blackfire.credentials import Credentials, find_credentials
from harness.errors import HarnessError, UsageError

PROFILE = f"/api/v1/profiles/{PROFILE_UUID}"


@pytest.fixture
def api() -> Iterator[StandInApi]:
    with stand_in_api() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def client(api: StandInApi, **changes: object) -> Api:
    known = {"client_id": CLIENT_ID, "client_token": CLIENT_TOKEN, "endpoint": api.url, "source": "the test"}
    return Api(Credentials(**{**known, **changes}), sleep=lambda seconds: None)  # type: ignore[arg-type]  # by name


def test_the_same_requests_as_the_vendors_sdk(api: StandInApi) -> None:
    with client(api) as ours:
        signed = ours.sign()
        info = ours.wait(signed.uuid)
    assert [(method, path) for method, path, _, _ in api.asked] == [(method, path) for method, path, _, _ in captured()]
    for (_, _, headers, body), (_, _, known, known_body) in zip(api.asked, captured(), strict=True):
        assert headers["Authorization"] == known["Authorization"]
        assert headers.get("Content-Type") == known.get("Content-Type")
        assert (json.loads(body) if body else "") == (json.loads(known_body) if known_body else "")
    assert signed.uuid == PROFILE_UUID
    assert signed.query == f"{QUERY_STRING}&aggreg_samples=1&flag_cpu=1&flag_memory=1&flag_timespan=1"
    assert (info.code, info.status, info.failure, dict(info.envelope)) == (64, "finished", None, ENVELOPE)
    assert info.graph_url == "https://blackfire.io/profiles/x/graph"


def test_an_environment_by_name_or_identifier(api: StandInApi) -> None:
    for name in ("shop", "shop-id", "bbbbbbbb-0000-4000-8000-000000000000"):
        with client(api, environment=name) as ours:
            ours.sign()
        assert json.loads(api.asked[-1][3])["collabToken"].startswith("bbbbbbbb")
    with (
        client(api, environment="nowhere") as ours,
        pytest.raises(UsageError, match="no Blackfire environment 'nowhere'"),
    ):
        ours.sign()


def test_titles_and_metadata(api: StandInApi) -> None:
    with client(api) as ours:
        ours.label(PROFILE_UUID, "round 3")
        ours.store(PROFILE_UUID, {"run": "x"})
        with pytest.raises(UsageError, match="not the identity"):
            ours.profile("../../etc/passwd")
    assert [(method, path, body) for method, path, _, body in api.asked] == [
        ("PUT", PROFILE, "label=round+3"),
        ("PUT", f"{PROFILE}/store", '{"run":"x"}'),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"message": "Bad credentials"}), "does not accept the credentials from the test: Bad credentials"),
        ((402, {}), "quota of this Blackfire account is used up"),
        ((429, {"message": "slow down"}), "quota of this Blackfire account is used up: slow down"),
        ((403, {"message": "Your profiling quota is out"}), "quota of this Blackfire account"),
        ((403, {"message": "no\x1b[31m\nway"}), "may not do that: no [31m way"),
        ((404, b"<html>"), "answered with status 404"),
        ((500, {"message": f"echo {CLIENT_TOKEN}!"}), "answered with status 500: echo ...!"),
        ((400, b'{"message": "\\ud800 bad"}'), "answered with status 400:   bad"),
        ((302, b""), "answers with a redirection"),
        ((200, b"<html>not json"), "unexpected answer"),
        ((200, b"[" * 100_000), "unexpected answer"),
        ((200, []), "unexpected answer"),
        ((200, b"x" * (9 << 20)), "larger than 8388608 bytes"),
        ((200, {"uuid": "../x", "query_string": "signature=x"}), "unexpected answer (signing)"),
        ((200, {"uuid": PROFILE_UUID, "query_string": "signature=x\r\nEvil: 1"}), "unexpected answer (signing)"),
        ((200, {"uuid": PROFILE_UUID, "query_string": 7}), "unexpected answer (signing)"),
    ],
)
def test_every_refusal_is_one_clear_error(api: StandInApi, answer: Answer, said: str) -> None:
    api.special["/api/v1/signing"] = [answer]
    with client(api) as ours, pytest.raises(ApiError, match=re.escape(said)) as caught:
        ours.sign()
    assert CLIENT_TOKEN not in str(caught.value)
    assert "\n" not in caught.value.message
    caught.value.message.encode()


def test_a_profile_is_asked_for_again_as_the_sdk_does(api: StandInApi) -> None:
    api.special[PROFILE] = [(404, {}), (405, {}), (503, {})]
    waits: list[float] = []
    with Api(Credentials(CLIENT_ID, CLIENT_TOKEN, api.url), sleep=waits.append) as ours:
        assert ours.wait(PROFILE_UUID).code == 64
        assert waits == pytest.approx([0.05, 0.1, 0.15, 0.2])
        api.special[PROFILE] = [(403, {})]
        with pytest.raises(ApiError, match="may not do that"):
            ours.wait(PROFILE_UUID)
        api.special[PROFILE] = [(200, {"status": {"name": "failed", "code": 80, "failure_reason": "corrupt"}})]
        failed = ours.wait(PROFILE_UUID)
        assert (failed.code, failed.failure, failed.envelope) == (80, "corrupt", {})
        api.special[PROFILE] = [(404, {})] * 60
        with pytest.raises(ApiError, match="status 404"):
            ours.wait(PROFILE_UUID)
    with (
        stand_in_api(polls=99) as slow,
        Api(Credentials(CLIENT_ID, CLIENT_TOKEN, slow.url), sleep=waits.append) as ours,
    ):
        with pytest.raises(ApiError, match="after 60 looks"):
            ours.wait(PROFILE_UUID)
        assert len(slow.asked) == 60


def test_a_network_that_is_not_there(api: StandInApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            client(api, endpoint=url, timeout_s=0.05) as ours,
            pytest.raises(ApiError, match=r"did not answer within 0\.05 s"),
        ):
            ours.collab_tokens()
    with client(api, endpoint=url) as ours, pytest.raises(ApiError, match="cannot be reached"):
        ours.collab_tokens()
    with client(api, proxies={"http": url}) as ours, pytest.raises(ApiError, match="cannot be reached"):
        ours.collab_tokens()
    with pytest.raises(UsageError, match="a proxy for Blackfire is not an address"):
        client(api, proxies={"http": "not a proxy"})
    with pytest.raises(UsageError, match="ca-cert"):
        client(api, ca_file=Path("/nowhere.pem"))


def test_a_proxy_is_used(api: StandInApi) -> None:
    far = "http://127.0.0.1:1"
    with client(api, endpoint=far, proxies={"http": api.url}) as ours, pytest.raises(ApiError, match="status 404"):
        ours.collab_tokens()
    assert api.asked[-1][1] == "http://127.0.0.1:1/api/v1/collab-tokens"


def test_no_token_is_said_logged_or_shown(api: StandInApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with client(api) as ours:
        signed = ours.sign()
        tokens = ours.collab_tokens()
        shown = repr([ours, signed, tokens, Credentials(CLIENT_ID, CLIENT_TOKEN)])
    secrets = (CLIENT_TOKEN, SIGNATURE, COLLAB_TOKEN, "Y2lkOmN0b2s")
    assert not [secret for secret in secrets if secret in shown or secret in caplog.text]


# --- live ------------------------------------------------------------------------------------------------------------


def test_live_at_blackfire_io() -> None:
    """Opt-in: one signature of the account's quota, no profile."""
    if os.environ.get("HARNESS_BLACKFIRE_LIVE") != "1":
        pytest.skip(
            "NOT RUN: the live test at blackfire.io needs HARNESS_BLACKFIRE_LIVE=1 and credentials of an account"
        )
    try:
        credentials = find_credentials(os.environ)
    except HarnessError as error:
        pytest.skip(f"NOT RUN: the live test at blackfire.io: {error}")
    with Api(credentials) as ours:
        assert ours.collab_tokens()
        signed = ours.sign()
        assert "&signature=" in signed.query
