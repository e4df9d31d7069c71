"""Messages of probes, as the genuine Python probe and the retired PHP one sent them, and our answers to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.blackfire import protocol
from adapters.blackfire.protocol import KeyPage, Kind, Wishes

HELLO = (
    b"Blackfire-Query: expires=1&agentIds=request-id-x&signature=c2ln&aggreg_samples=1&profile_title=demo\n"
    b"Blackfire-Probe: python-51054576, config, timespan, blackfire_yml\nblackfire-auth: id:token\n\n"
)
MONITORING = (
    b"file-format: BlackfireApm\ncontroller-name: report\nuri: /report?token=secret\nframework: flask\nhttp-host: h\n"
    b"method: GET\nresponse-code: 200\nstdout: 2\nhost: h\nlanguage: python\nwt: 7189\nmu: 69632000\npmu: 69586944\n"
    b"timestamp: 1795401975.728752\nNone\n\n"
)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (HELLO, Kind.PROFILE),
        (b"Blackfire-Auth: id:token\nBlackfire-Query: x\n\n", Kind.PROFILE),
        (MONITORING, Kind.MONITORING),
        (b"file-format: BlackfireApmRequestProfileQuery\n\turi: /r\n\n", Kind.PROFILE_QUERY),
        (b"POST /profiling/v1/input HTTP/1.1\r\nHost: x\r\n\r\n", Kind.HTTP),
        (b"", Kind.UNKNOWN),
        (b"\x16\x03\x01\x02\n", Kind.UNKNOWN),
    ],
)
def test_who_is_calling(head: bytes, kind: Kind) -> None:
    assert protocol.kind(head) is kind


def test_a_hello() -> None:
    hello = protocol.parse_hello(HELLO)
    assert hello.query.startswith("expires=1&")
    assert hello.probe == "python-51054576"
    assert hello.abilities == {"config", "timespan", "blackfire_yml"}
    assert hello.credentials
    assert "token" not in repr(hello)
    with pytest.raises(ValueError, match="no query"):
        protocol.parse_hello(b"Blackfire-Probe: php-8.2\n\n")


def test_answers() -> None:
    assert protocol.accept(Wishes()) == b"Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true\n\n"
    wishes = Wishes(timespans=["^app."], arguments=["app.leak 1"], constants=["python_version"])
    assert protocol.accept(wishes).decode().splitlines()[1:] == [
        "Blackfire-Timespan: ^app.", "Blackfire-Fn-Args: app.leak 1", "Blackfire-Const: python_version", "",
    ]  # fmt: skip
    assert protocol.ask_for_yaml().endswith(b"&blackfire_yml=true\n")
    assert protocol.refuse("a: b\nc") == b"Blackfire-Error: 101 a  b c\n\n"  # the Python probe splits at the colon
    assert b"Keys" not in protocol.accept(wishes)


@pytest.mark.parametrize("wish", ["a\nBlackfire-Keys: 1;x", "", "x" * 501])
def test_a_wish_is_one_line(wish: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        Wishes(arguments=[wish])
    with pytest.raises(ValueError, match="one line"):
        Wishes(key_pages=[KeyPage("GET", wish)])


def test_monitoring_is_answered_and_its_secrets_are_not_kept() -> None:
    kept = protocol.monitored(protocol.fields(MONITORING))
    assert kept == {
        "method": "GET", "framework": "flask", "controller-name": "report", "language": "python", "uri": "/report",
        "response-code": 200, "wt": 7189, "mu": 69632000, "pmu": 69586944, "timestamp": 1795401975.728752,
    }  # fmt: skip
    assert protocol.monitored({"mu": "None", "timestamp": "x"})["mu"] is None
    assert protocol.monitoring_reply(Wishes()) == b"Blackfire-Response: success=true&update_config=false\n\n"
    told = protocol.monitoring_reply(Wishes(monitoring=1.0, key_pages=[KeyPage("GET", "=/r")])).decode()
    assert "\nsample-rate: 1.0\n" in told
    assert told.endswith(
        "key-page(\n id: kp1\n matcher-type: uri\n matcher-pattern: =/r\n http-method: GET\n profile: true\n)\n\n"
    )
    assert protocol.profile_query_reply("q") == b"Blackfire-Response: success=true\nblackfire-query: q\n\n"
    assert protocol.profile_query_reply(None).startswith(b"Blackfire-Response: success=false")


def test_size_of_the_yaml() -> None:
    assert protocol.yaml_size(b"Blackfire-Yaml-Size: 79\n") == 79
    for wrong in (b"Blackfire-Yaml-Size: 99999999\n", b"x\n", b"Blackfire-Yaml-Size: -1\n"):
        with pytest.raises(ValueError, match="size"):
            protocol.yaml_size(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_are_somebody(head: bytes) -> None:
    if protocol.kind(head) is Kind.PROFILE:
        with pytest.raises(ValueError, match="no query"):
            protocol.parse_hello(head)
    protocol.monitored(protocol.fields(head))
