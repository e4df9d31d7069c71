"""The one file that goes over: always the same, and it runs wherever Python does."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from pythons import pythons

from harness.targets.connectors.archive import archive


def test_the_same_source_gives_the_same_bytes() -> None:
    first = archive()
    archive.cache_clear()
    assert archive() == first
    with zipfile.ZipFile(io.BytesIO(first)) as made:
        infos = made.infolist()
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}


def test_it_holds_what_is_needed_there_and_no_more() -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as made:
        names = set(made.namelist())
    needed = ("sampling/sweep.py", "sampling/outside/python/layouts.jsonl", "targets/guard.py")
    assert {"__main__.py", *(f"harness/{name}" for name in needed)} <= names
    assert "harness/sampling/remote/line.py" not in names
    tops = {name.split("/")[1] for name in names if "/" in name}
    assert tops == {"__init__.py", "redact", "sampling", "targets"}


@pytest.mark.parametrize("version", [pytest.param(v, id=v) for v in pythons()])
def test_every_part_runs_on_every_python(version: str, tmp_path: Path) -> None:
    program = [pythons()[version], "-I", "-S", "-W", "error", str(tmp_path / "harness.pyz")]
    (tmp_path / "harness.pyz").write_bytes(archive())
    orders = b'{"cmd":"start","interval_ns":1000000000,"roots":[{"pid":%d,"pool":"app"}]}\n{"cmd":"floor","id":1,"depth":3}\n'
    sampler = subprocess.Popen(
        [*program, "sampler"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, complaints = sampler.communicate(orders % sampler.pid, timeout=100)
    said = [json.loads(line) for line in out.splitlines()]
    assert (said[0]["k"], said[-1]["k"], complaints) == ("hello", "bye", b"")
    plan = {"argv": ["sh", "-c", "exit 7"], "env": {"A": None}, "inherit": True, "cwd": "/", "output": str(tmp_path / "out"),
            "ladder": [[9, 1]], "cgroup": None}  # fmt: skip
    order = json.dumps(plan).encode() + b"\n"
    guard = subprocess.run([*program, "guard"], input=order, capture_output=True, check=True, timeout=100)
    assert guard.stderr == b""
    assert [json.loads(line)["k"] for line in guard.stdout.splitlines()] == ["started", "exited"]
    found = subprocess.run([*program, "find", '{"pid": 1}'], capture_output=True, check=True, timeout=100)
    assert json.loads(found.stdout) == {"pids": [1]}
