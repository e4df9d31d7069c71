"""What makes a directory one of ours."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from harness import __version__
from harness.session.agents.deployed import Deployed, deployed, environment, for_runtime, named, no_agent, other_version

TOKEN = "0123456789abcdef" * 2
SAID = {
    "HARNESS_RECORDS": "/harness/records/python-0123456789abcdef.ndjson",
    "HARNESS_ORDERS": "/harness/python/orders/order",
    "HARNESS_TOKEN": TOKEN,
}


def test_what_was_written_is_read() -> None:
    found = deployed(environment(SAID, "python").encode())
    name = "python-0123456789abcdef.ndjson"
    assert found == Deployed(TOKEN, name, "python/orders/order", "/harness", "python", __version__)
    assert other_version(found) == ""


@pytest.mark.parametrize(
    ("line", "by"),
    [
        ("", "an earlier version"),
        ("HARNESS_VERSION=0.0.7\n", "version 0.0.7"),
        ("HARNESS_VERSION=\x1b[2J\n", "an earlier"),
    ],
)
def test_an_agent_of_another_version(line: str, by: str) -> None:
    text = environment(SAID, "python").replace(f"HARNESS_VERSION={__version__}\n", line)
    found = deployed(text.encode())
    assert isinstance(found, Deployed)
    assert other_version(found).startswith(f"the agent was written by {by}")
    assert __version__ in other_version(found)
    assert "\x1b" not in other_version(found)


def test_no_agent_and_why() -> None:
    directory = PurePosixPath("/opt/agent")
    missing = deployed(None)
    assert isinstance(missing, str)
    assert no_agent(directory, missing) == "/opt/agent holds no agent: agent.env is not there"
    for data in (b"", b"\xff" * 100, b"PORT=8000\n", environment({**SAID, "HARNESS_TOKEN": "x"}, "python").encode()):
        assert deployed(data) == "agent.env is not one that `harness agent` has written"


def test_an_agent_for_another_language_is_none() -> None:
    found = deployed(environment(SAID, "python").encode())
    assert for_runtime(found, "python") is found
    assert for_runtime(found, "php") == "it is one for python, and target.runtime is php"
    unknown = deployed("".join(f"{name}={value}\n" for name, value in SAID.items()).encode())
    assert for_runtime(unknown, "php") is unknown, "one that does not say so"
    assert for_runtime("why", "php") == "why"


@pytest.mark.parametrize(
    ("records", "order"),
    [
        ("/harness/records/../../etc/passwd", "/harness/python/orders/order"),
        ("/harness/records/python-0123456789abcdef.ndjson\n", "/harness/python/orders/order"),
        ("/harness/records/python-0123456789abcdef.ndjson", "/elsewhere/python/orders/order"),
        ("/harness/records/python-0123456789abcdef.ndjson", "/harness/../orders/order"),
        ("/harness/records/python-0123456789abcdef.ndjson", "/harness//order"),
        ("", ""),
    ],
)
def test_names_that_may_lead_out_of_the_directory_are_none(records: str, order: str) -> None:
    assert named(records, order, TOKEN) is None
