"""``harness tune`` on the real machine, as root and as nobody: it reads, and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
from nobody import CHECKOUT, unprivileged

from harness.sampling.sources import settings

pytestmark = pytest.mark.integration
SCHEMA = json.loads(files("harness.tune").joinpath("tune.schema.json").read_text())
# Every file that a command of ours names, and their neighbours.
PLACES = (
    "/proc/sys/vm",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/module/zswap/parameters",
    "/etc/sysctl.d",
    "/etc/tmpfiles.d",
)
MOVING = ("pages_", "full_scans", "stats", "stat_refresh", "numa_stat", "general_profit")  # counters, not settings


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that nobody may pass through and look into."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def contents() -> dict[str, bytes]:
    """What is in those files now."""
    found = {}
    for place in PLACES:
        for path in sorted(Path(place).rglob("*")):
            if path.is_file() and not any(word in str(path) for word in MOVING):
                try:
                    found[str(path)] = path.read_bytes()
                except OSError:
                    found[str(path)] = b"?"
    return found


def facts() -> dict[str, Any]:
    """Settings but for what moves by itself."""
    read = settings.read("/proc", "/sys").facts
    return {name: value for name, value in read.items() if not name.startswith(("fs.file-nr", "ksm.pages"))}


def tune(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "harness", "tune", "--format", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    data: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(data, SCHEMA, jsonschema.Draft202012Validator)
    return data


def test_it_reads_this_machine_and_writes_nothing(public: Path) -> None:
    before = contents(), facts()
    data = tune("--over", "500ms")
    other = unprivileged("tune", "--over", "500ms", "--format", "json", cwd=public)
    assert (other.returncode, other.stderr) == (0, "")
    assert (contents(), facts()) == before
    assert list(public.iterdir()) == []
    values = {row["name"]: row["current"] for row in data["parameters"]}
    for name in ("vm.swappiness", "vm.min_free_kbytes", "vm.max_map_count", "vm.overcommit_memory"):
        assert values[name] == Path("/proc/sys", name.replace(".", "/")).read_text().strip()
    seen = json.loads(other.stdout)
    jsonschema.validate(seen, SCHEMA, jsonschema.Draft202012Validator)
    assert {row["name"]: row["current"] for row in seen["parameters"]}["vm.swappiness"] == values["vm.swappiness"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_without_rights_it_says_what_it_could_not_read(public: Path) -> None:
    unread = {row["what"]: row["reason"] for row in json.loads(
        unprivileged("tune", "--over", "0", "--format", "json", cwd=public).stdout
    )["unread"]}  # fmt: skip
    assert "no permission to read /proc/slabinfo" in unread["slabinfo"]
    text = unprivileged("tune", "--over", "0", cwd=public).stdout
    assert "not read: slabinfo: no permission" in text


TRACED = """
import os, sys
opened = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        opened.append(arguments[0])
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.chmod", "os.truncate", "subprocess.Popen", "os.system", "os.exec"):
        opened.append(event)
from harness import cli
sys.addaudithook(hook)
code = cli.invoke(["tune", "--over", "100ms"])
os.write(2, repr((code, opened)).encode())
"""


def test_no_file_is_opened_for_writing_and_no_program_is_started() -> None:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", TRACED]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, env=environment, check=False)
    assert done.stderr == "(0, [])"
