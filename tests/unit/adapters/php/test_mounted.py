"""The agent in a directory of its own: what a PHP that sees it elsewhere writes, and what a container may make of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from adapters.php import mounted
from adapters.php.adapter import ADAPTER
from adapters.php.fpm import floor
from adapters.php.state import Places
from harness.errors import TargetError, UsageError
from harness.plugins.spec import AdapterContext

TOKEN = "0123456789abcdef" * 2


def written(directory: Path, variables: dict[str, str]) -> None:
    (directory / "agent.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def test_php_writes_a_record_where_it_sees_the_directory(tmp_path: Path) -> None:
    """A real PHP, for which the directory is somewhere else."""
    directory, inside = tmp_path / "agent", tmp_path / "seen here"
    directory.mkdir()
    variables = ADAPTER.deploy_agent(directory, str(inside), TOKEN)
    assert variables["HARNESS_TOKEN"] == TOKEN
    directory.rename(inside)
    script = tmp_path / "job.php"
    script.write_text("<?php echo ini_get('auto_prepend_file');")
    said = subprocess.run(["php", script], env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert said.stdout == str(inside / "php" / "agent" / "prepend.php")
    lines = Path(variables["HARNESS_RECORDS"]).read_text().splitlines()
    assert [json.loads(line)["k"] for line in lines] == ["boot", "req"]


def test_nobody_else_can_read_the_records_or_find_them(tmp_path: Path) -> None:
    variables = mounted.deploy(tmp_path, "/harness", TOKEN)
    (records,) = (tmp_path / "records").glob("php-*")
    assert records.stat().st_mode & 0o777 == 0o622
    assert (tmp_path / "records").stat().st_mode & 0o777 == 0o711
    assert variables["HARNESS_RECORDS"] == f"/harness/records/{records.name}"
    assert str(tmp_path) not in "".join(path.read_text() for path in tmp_path.rglob("*.php"))


def test_how_the_directory_is_seen(tmp_path: Path) -> None:
    assert mounted.seen_inside(tmp_path) is None, "a run's own"
    written(tmp_path, dict(mounted.deploy(tmp_path, "/har ness", TOKEN)))
    assert str(mounted.seen_inside(tmp_path)) == "/har ness"
    (tmp_path / "agent.env").rename(tmp_path / "other")
    (tmp_path / "agent.env").symlink_to(tmp_path / "other")
    assert mounted.seen_inside(tmp_path) is None, "links are not followed"


@pytest.mark.parametrize("what", ["a link", "nothing"])
def test_answers_go_into_no_file_that_is_not_ours(tmp_path: Path, what: str) -> None:
    """A container can change the directory while a run uses it."""
    other = tmp_path / "other"
    other.write_text("mine")
    directory = tmp_path / "agent"
    directory.mkdir()
    mounted.deploy(directory, "/harness", TOKEN)
    places = Places(directory)
    places.floors.unlink()
    if what == "a link":
        places.floors.symlink_to(other)
    with pytest.raises(TargetError, match="cannot be written down"):
        floor._write(places, 1, {os.getpid(): floor._Answer({"fpm.idle": 1})}, mounted=True)
    assert other.read_text() == "mine"
    assert places.floors.exists() is (what == "a link")


def test_blackfire_is_not_asked_for_where_its_relay_is_not(tmp_path: Path) -> None:
    """Each place's query would be signed for nothing, and two of them in one header are none."""
    options = {"blackfire": {"agent": "tcp://127.0.0.1:1", "listen": "tcp://127.0.0.1:2"}}
    inside = AdapterContext(tmp_path, TOKEN, options, ("blackfire",), outside_pid=lambda pid, _: pid)
    with pytest.raises(UsageError, match="where its relay is"):
        ADAPTER.trigger(inside, "blackfire")
