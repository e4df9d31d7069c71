"""What doctor says of a directory of agents: with real ones on this machine, and of what another host may answer."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from harness.cli import invoke
from harness.doctor.agents import Wanted, check_here, check_there, judged
from harness.plugins.spec import CheckLevel
from harness.session.agents.deployed import ANOTHER_MOUNTED, ANOTHER_THERE, Deployed, deployed
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.peek import Writers

WANTED = Wanted("target.hosts web-1, agent", PurePosixPath("/opt/agent"), (7,), False, "python", True)
OURS = Deployed("0" * 32, "python-0123456789abcdef.ndjson", "python/orders/order", "/opt/agent", "python", "x")


@pytest.fixture
def directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    made = tmp_path / "agent"
    assert invoke(["agent", str(made), "--inside", str(made)]) == 0
    capsys.readouterr()
    return made


def wanted(directory: Path, *, announces: bool = True) -> Wanted:
    return Wanted("agent", directory, (os.getpid(),), False, "python", announces)


def announce(directory: Path) -> None:
    found = deployed((directory / "agent.env").read_bytes())
    assert isinstance(found, Deployed)
    line = '{"k":"boot","rt":"python","pid":%d,"ppid":1,"t":%d,"version":"3","argv":""}\n'
    (directory / "records" / found.records).write_text(line % (os.getpid(), time.monotonic_ns()))


def test_nobody_is_in_it_and_then_somebody(directory: Path) -> None:
    silent = check_here(wanted(directory))
    assert silent.level is CheckLevel.WARNING
    assert silent.message.startswith(f"{directory}: no process has written into the agent's directory: was the app")
    assert silent.fix == f"start the application anew with the variables of {directory}/agent.env"
    assert silent.costs
    moved = directory.with_name("moved")
    directory.rename(moved)
    assert check_here(wanted(moved)).message.endswith(f"It was written for an application that sees it as {directory}.")
    moved.rename(directory)
    assert check_here(wanted(directory, announces=False)).level is CheckLevel.INFO, "its first request will tell"
    announce(directory)
    for check in (check_here(wanted(directory)), check_there(LocalConnector(), wanted(directory))):
        assert check.level is CheckLevel.INFO
        assert check.message.startswith(f"{directory} holds an agent of this version; 1 of ")
    assert ".in-use" not in os.listdir(directory), "nothing is left there, and no run is kept from it"


def test_who_writes_there_is_not_looked_up_where_it_cannot_be_asked(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness may run from a Python that is on no PATH."""
    (tmp_path / "sh").write_text("#!/bin/sh\nexit 43\n")
    (tmp_path / "sh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = check_here(wanted(directory))
    assert check.level is CheckLevel.WARNING, "a run needs no other Python here"
    assert check.message == f"who writes to {directory} was not looked up: no python3 (3.8 or newer) is on the PATH"


def test_no_agent_and_one_of_another_version(directory: Path, tmp_path: Path) -> None:
    announce(directory)
    environment = directory / "agent.env"
    lines = environment.read_text().splitlines(keepends=True)
    environment.write_text("".join(line for line in lines if not line.startswith("HARNESS_VERSION=")))
    older = check_here(wanted(directory))
    assert older.level is CheckLevel.WARNING
    assert "was written by an earlier version of the harness" in older.message
    assert older.fix is not None
    assert older.fix.startswith(
        "write a new one (harness agent) into another directory, and start the application anew"
    )
    other = check_here(replace(wanted(directory), runtime="php"))
    assert (other.level, other.message) == (
        CheckLevel.ERROR,
        f"{directory} holds no agent: it is one for python, and target.runtime is php",
    )
    environment.write_text("PORT=8000\n")
    for check, fix in (
        (check_here(wanted(directory)), ANOTHER_MOUNTED),
        (check_there(LocalConnector(), wanted(directory)), ANOTHER_THERE),
    ):
        assert (check.level, check.fix) == (CheckLevel.ERROR, fix)
        assert check.message == f"{directory} holds no agent: agent.env is not one that `harness agent` has written"
    gone = check_there(LocalConnector(), wanted(tmp_path / "none"))
    assert (gone.level, gone.message) == (
        CheckLevel.ERROR,
        f"{tmp_path}/none holds no agent: agent.env is not there",
    )


def test_what_another_host_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.session.agents.deployed.__version__", "x")
    refused = judged(WANTED, OURS, Writers("it belongs to another user", 0, 0, 0, 0))
    assert refused.level is CheckLevel.ERROR
    assert refused.message == "the agent's directory /opt/agent cannot be used: it belongs to another user"
    others = judged(WANTED, OURS, Writers(None, 10, 3, 0, 2))
    assert others.level is CheckLevel.WARNING
    assert others.message == "2 processes that live write to /opt/agent, and none of them is watched"
    inside = judged(WANTED, OURS, Writers(None, 10, 3, 2, 0))
    assert inside.message == (
        "/opt/agent holds an agent of this version; 2 of 3 processes that are watched write to it"
    )
