"""What a host answers when the sampler is to begin there, which may be anything."""

from __future__ import annotations

import json

import pytest

from harness.errors import TargetError
from harness.targets.connectors.deploy import Deployed, deploy
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.spec import Done

SAID: dict[str, object] = {"directory": "/tmp/harness-x", "python": "/usr/bin/python3", "uid": 1000, "home": "/home/deploy",
                           "host": {"node": "web-1", "cpus": 4, "libc": None}}  # fmt: skip


class Other(LocalConnector):
    name = "web-1"

    def __init__(self, output: bytes) -> None:
        self._output = output

    def run(self, *_: object, **__: object) -> Done:
        return Done(0, self._output, b"")


def answered(output: bytes) -> Deployed:
    return deploy(Other(output), silence_s=1, grace_s=1, spool_bytes=1)


def test_an_answer_after_a_greeting() -> None:
    found = answered(b"Welcome\n" + json.dumps(SAID).encode() + b"\n")
    assert (str(found.directory), found.python, found.uid, found.home) == (
        "/tmp/harness-x", "/usr/bin/python3", 1000, "/home/deploy",
    )  # fmt: skip
    assert found.host == {"node": "web-1", "cpus": 4, "libc": None}


def test_facts_are_short_printable_and_few() -> None:
    host = {"a\x1b": "\x1b[2J" + "x" * 1000, "big": 1 << 80, "list": [1], **{f"n{n}": n for n in range(1000)}}
    found = answered(json.dumps({**SAID, "host": host}).encode()).host
    assert len(found) == 64
    assert found["a?"] == "?[2J" + "x" * 252
    assert found["big"] == str(1 << 80)
    assert found["list"] == "[1]"


NO_FACTS: list[object] = [None, [], "x"]
NO_UID: list[object] = [-1, 1 << 40, True, "0", 1.5, None]


def test_a_user_without_a_home() -> None:
    assert answered(json.dumps({**SAID, "home": "~"}).encode()).home == "/"


@pytest.mark.parametrize(
    "output",
    [b"", b"Welcome", b"[]", b"[" * 100_000, b"{}", b'{"uid": 1e999}']
    + [json.dumps({**SAID, key: wrong}).encode() for key in ("directory", "python", "home")
       for wrong in ("", "relative", "/a\0b", "/a\nb", "/\x1b[2J", "/" + "x" * 5000, 5, None, ["/"])]
    + [json.dumps({**SAID, "uid": wrong}).encode() for wrong in NO_UID]
    + [json.dumps({**SAID, "host": wrong}).encode() for wrong in NO_FACTS],
)  # fmt: skip
def test_what_is_no_answer(output: bytes) -> None:
    with pytest.raises(TargetError, match="web-1 answered with something else than the sampler"):
        answered(output)
