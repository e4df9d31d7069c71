"""Directories of agents that are mounted into containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.session.agents.mounted import AgentDirectory

TOKEN = "0123456789abcdef" * 2
NAMES = "HARNESS_RECORDS=/harness/records/python-0123456789abcdef.ndjson\nHARNESS_ORDERS=/harness/python/orders/order\n"
ENVIRONMENT = f"PYTHONPATH=/harness/python/boot\n{NAMES}HARNESS_TOKEN={TOKEN}\n"


def test_a_directory_is_used_by_one_run(tmp_path: Path) -> None:
    (tmp_path / "agent.env").write_text(ENVIRONMENT)
    directory = AgentDirectory.open(tmp_path, "python")
    assert directory.token == TOKEN
    with pytest.raises(UsageError, match="another run"):
        AgentDirectory.open(tmp_path, "python")
    directory.close()
    AgentDirectory.open(tmp_path, "python").close()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        f"HARNESS_TOKEN={TOKEN}\n",
        f"{NAMES}HARNESS_TOKEN=short\n",
        f"{NAMES}X=HARNESS_TOKEN={TOKEN}\n",
        ENVIRONMENT.replace("/records/", "/../records/../"),
    ],
)
def test_no_agent_there(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "agent.env").write_text(text)
    with pytest.raises(UsageError, match="holds no agent"):
        AgentDirectory.open(tmp_path, "python")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(ENVIRONMENT)
    (tmp_path / "agent.env").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="holds no agent"):
        AgentDirectory.open(tmp_path, "python")


@pytest.mark.parametrize("name", ["agent.env", ".in-use"])
def test_what_the_container_puts_in_their_place_holds_nobody_up(tmp_path: Path, name: str) -> None:
    """A pipe would be waited for until somebody writes; a link could lead anywhere."""
    (tmp_path / "agent.env").write_text(ENVIRONMENT)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    if name == "agent.env":
        with pytest.raises(UsageError, match="holds no agent"):
            AgentDirectory.open(tmp_path, "python")
        return
    AgentDirectory.open(tmp_path, "python").close()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="cannot be used"):
        AgentDirectory.open(tmp_path, "python")
