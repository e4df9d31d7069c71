"""What is kept of a conversation: the same however it arrives in pieces, and never a secret."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.blackfire import recording
from adapters.blackfire.protocol import HEAD_CAP_BYTES, Kind
from adapters.blackfire.recording import AgentSide, ProbeSide, Redactor, about, fingerprint
from adapters.formats.blackfire_probe import redacted

QUERY = "expires=1&agentIds=request-id-x&signature=c2lnbmVk&aggreg_samples=1&profile_title=demo&sub_profile=:9f"
AUTH = b"Blackfire-Auth: server-id:server-token\n"
HELLO = AUTH + f"Blackfire-Query: {QUERY}\nBlackfire-Probe: php-8.2.36, blackfire_yml, config\n\n".encode()
YAML = b"tests: {}\n"
BODY = b"file-format: BlackfireProbe\ncontext: token=hidden\n\nmain()//1 1 1 1 1\n"


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def body_of(data: bytes, cuts: Iterable[int] = ()) -> tuple[ProbeSide, bytes]:
    side = ProbeSide()
    body = b"".join([side.feed(piece) for piece in pieces(data, cuts)])
    side.finish()
    return side, body


YAML_SHAPES = {
    "none": b"",
    "new probes": b"Blackfire-Yaml-Size: %d\n\n" % len(YAML) + YAML,
    "old probes": b"Blackfire-Yaml-Size: %d\n" % len(YAML) + YAML,
    "an empty one": b"Blackfire-Yaml-Size: 0\n\n",
}


@pytest.mark.parametrize("yaml", YAML_SHAPES.values(), ids=YAML_SHAPES.keys())
@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_the_body_is_found_however_the_bytes_come(yaml: bytes, cuts: list[int]) -> None:
    side, body = body_of(HELLO + yaml + BODY, cuts)
    assert (side.kind, side.head, body) == (Kind.PROFILE, HELLO, BODY)


def test_byte_by_byte_and_cut_everywhere() -> None:
    data = HELLO + YAML_SHAPES["new probes"] + BODY
    assert body_of(data, range(len(data)))[1] == BODY
    for size in range(len(data)):
        assert BODY.startswith(body_of(data[:size], range(size))[1])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"file-format: BlackfireApm\nuri: /\nNone\n\nmore", Kind.MONITORING),
        (b"POST /profiling/v1/input HTTP/1.1\r\nHost: x\r\n\r\nbody", Kind.HTTP),
        (b"garbage\n\nmore", Kind.UNKNOWN),
        (b"", Kind.UNKNOWN),
        (b"x" * (HEAD_CAP_BYTES + 9) + b"\n\n" + BODY, Kind.UNKNOWN),
        (b"Blackfire-Query: " + b"x" * HEAD_CAP_BYTES + b"\n\n" + BODY, Kind.PROFILE),
    ],
)
def test_other_messages_have_no_body(data: bytes, kind: Kind) -> None:
    side, body = body_of(data)
    assert (side.kind, body) == (kind, b"")
    assert len(side.head) <= HEAD_CAP_BYTES


def test_what_is_told_of_a_hello_is_no_secret() -> None:
    told = about(HELLO)
    assert told == {
        "fingerprint": fingerprint(QUERY),
        "title": "demo",
        "sub_profile": ":9f",
        "probe": "php-8.2.36",
        "abilities": ["blackfire_yml", "config"],
        "no_profile": False,
    }
    assert not [word for word in ("c2lnbmVk", "server-token", "server-id") if word in repr(told)]
    assert about(HELLO.replace(b", config", b", noop"))["no_profile"]


def test_a_fingerprint_is_that_of_the_signature() -> None:
    assert fingerprint(QUERY) == fingerprint("signature=c2lnbmVk&other=1")
    assert fingerprint(QUERY) != fingerprint("signature=b3RoZXI&other=1")
    assert len(fingerprint(QUERY)) == 32
    assert fingerprint("no=signature") == ""


def test_what_the_agent_answered() -> None:
    side = AgentSide()
    for piece in (
        b"Blackfire-Resp",
        b"onse: continue=false&progress=100&wait=0&blackfire_yml=true\nBlackfire-",
        b"Keys: k\n\n",
    ):
        side.feed(piece)
    assert side.reply() == {"response": "continue=false&progress=100&wait=0&blackfire_yml=true", "error": None}
    side.feed(b"Blackfire-Error: 103 Samples quota is out\n\n")
    assert side.reply()["error"] == "103 Samples quota is out"
    other = AgentSide()
    other.feed(b"x" * 1_000_000)
    other.feed(b"\nBlackfire-Error: 1 beyond\n")
    assert other.reply() == {"response": None, "error": None}


SECRET = (
    b"file-format: BlackfireProbe\nContext: argv=--password=hidden\n_cookie: sid=hidden\n"
    b"Context : argv=hidden\nCookie: sid=hidden\nAuthorization: Bearer hidden\n"
    b"probed-features: flag=1&signature=hidden&x=1\nnext: signature%3Dhidden\n\nmain()//1 1 1 1 1\nf==>g//1 1 1 1 1"
)


def redact(data: bytes, cuts: Iterable[int] = ()) -> bytes:
    redactor = Redactor()
    return b"".join([redactor.feed(piece) for piece in pieces(data, cuts)]) + redactor.finish()


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_secrets_are_taken_out_however_the_bytes_come(cuts: list[int]) -> None:
    found = redact(SECRET, cuts)
    assert found == redact(SECRET)
    assert b"hidden" not in found
    assert b"Context: redacted\n_cookie: redacted\n" in found
    assert b"flag=1&signature=redacted&x=1\n" in found
    assert found.endswith(b"main()//1 1 1 1 1\nf==>g//1 1 1 1 1")


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=5))
def test_anything_else_stays_as_it_is(data: bytes, cuts: list[int]) -> None:
    if b"signature" not in data.lower():
        assert redact(data, cuts) == redacted(data, recording.protocol.SECRET_HEADERS)


def test_long_lines_do_not_fill_the_memory() -> None:
    redactor = Redactor()
    out = redactor.feed(b"context: ")
    for _ in range(100):
        out += redactor.feed(b"x" * 10_000)
        assert len(redactor._held) < 80_000
    out += redactor.feed(b"\nmain()//1 1\n") + redactor.finish()
    assert out == b"context: redacted\nmain()//1 1\n"
    assert not redactor.cut
    other = Redactor()
    out = other.feed(b"f==>" + b"g" * 100_000) + other.feed(b"//1 1\nmain()//1 1\n") + other.finish()
    assert out.endswith(b"gg\nmain()//1 1\n")
    assert other.cut
