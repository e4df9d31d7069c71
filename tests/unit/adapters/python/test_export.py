"""The second file of a request: made of the result, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.python.export import files
from adapters.python.readers.fields import FORMAT
from harness.model.profile import Artifact, ArtifactStatus

VIEW = {
    "file": "/srv/app.py",
    "line": 3,
    "name": "view",
    "own": 0,
    "calls": 7,
    "own_ns": 9,
    "total_ns": 9,
    "callers": [],
}
RESULT = {
    "format": FORMAT, "tool": "cprofile", "cwd": "/", "values": {}, "problems": [], "functions_total": 1, "callers_total": 0,
    "functions": [VIEW],
}  # fmt: skip


def artifact(tool: str, path: str | None) -> Artifact:
    status = ArtifactStatus.MISSING if path is None else ArtifactStatus.COMPLETE
    return Artifact(tool, "python", path, status, "a" * 16, "GET /", 7, 5, 10, "in short", {"alone": 1})


def test_a_call_profile_has_a_callgrind_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "python-cprofile-a.json").write_text(json.dumps(RESULT))
    result = artifact("cprofile", "python-cprofile-a.json")
    [found] = files(result, tmp_path)
    assert found.path == "python-cprofile-a.callgrind"
    text = (tmp_path / found.path).read_text()
    assert "fn=view\n3 9\n" in text
    assert found.size_bytes == len(text)
    assert found.opens_with == "KCachegrind, QCachegrind or callgrind_annotate"
    assert (found.tool, found.span_id, found.pid, found.status) == (
        "cprofile",
        result.span_id,
        7,
        ArtifactStatus.COMPLETE,
    )
    assert result.opens_with is None


@pytest.mark.parametrize(
    ("tool", "path"), [("cprofile", None), ("cprofile", "no-result.json"), ("tracemalloc", "python-cprofile-a.json")]
)
def test_what_has_no_result_has_nothing_beside_it(tmp_path: Path, tool: str, path: str | None) -> None:
    (tmp_path / "python-cprofile-a.json").write_text(json.dumps(RESULT))
    (tmp_path / "no-result.json").write_text("{")
    before = sorted(tmp_path.iterdir())
    assert files(artifact(tool, path), tmp_path) == ()
    assert sorted(tmp_path.iterdir()) == before
