"""Where results of tools are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.python.agent.results import ToolError, write_result


def test_a_result_is_written_whole_and_readable(tmp_path: Path) -> None:
    name = write_result(str(tmp_path), {"a": "é"})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert json.loads((tmp_path / name).read_text("ascii")) == {"a": "é"}
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_without_a_directory_nothing_is_written_where_the_program_happens_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolError, match="no directory"):
        write_result("", {})
    assert list(tmp_path.iterdir()) == []


def test_the_harness_may_choose_the_name_and_nothing_else(tmp_path: Path) -> None:
    assert write_result(str(tmp_path), {}, "ab12") == "ab12.json"
    assert (tmp_path / "ab12.json").exists()
    assert write_result(str(tmp_path), {}, "../ab12") != "../ab12.json"
    assert len(list(tmp_path.iterdir())) == 2
