"""The page: numbers by group, misses with their explanations, and an error for those without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from specimens import accuracy
from specimens.judge import Judgement
from specimens.model import Group, Specimen, Truth


def judgement(name: str, group: Group, verdict: str, *, right: bool, healthy: bool = False) -> Judgement:
    truth = Truth(("healthy" if healthy else "leak.objects",), "made for the test", healthy=healthy)
    specimen = Specimen(name, "family", "python", {}, truth, group)
    return Judgement(
        specimen=specimen, verdict=verdict, confidence="high", summary="", cause_ok=right, endpoint=None, endpoint_ok=None,
        line="a.py:3", line_ok=True, growth_error=0.1, mdl=None, mix=None, also=(), stray=(), seconds=31.0,
        reasons=() if right else ("called something else",),
    )  # fmt: skip


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "misses.toml"
    path.write_text("")
    monkeypatch.setattr(accuracy, "MISSES", path)
    return path


JUDGED = [
    judgement("one", Group.DEVELOPMENT, "leak.objects", right=True),
    judgement("two", Group.DEVELOPMENT, "leak.native", right=False),
    judgement("three", Group.HELD_OUT, "leak", right=False, healthy=True),
]


def test_misses_need_an_explanation(tmp_path: Path, explained: Path) -> None:
    explained.write_text('two = "the reason"\none = "not needed"\n')
    wrong = accuracy.write(JUDGED, [], tmp_path / "page.md")
    assert [line.split(":")[0] for line in wrong] == ["three", "one"]
    text = (tmp_path / "page.md").read_text()
    assert "| two | called something else | the reason |" in text
    assert "| three | called something else | **not explained** |" in text


def test_groups_are_counted_apart(tmp_path: Path, explained: Path) -> None:
    accuracy.write(JUDGED, ["four"], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    development, held_out = text.split("## The held-out group")
    assert "| verdict right | 1 of 2 (50 %" in development
    assert "| healthy applications in which a leak was called | 0 of 0 |" in development
    assert "| healthy applications in which a leak was called | 1 of 1 |" in held_out
    assert "| leak.objects | **1** | 1 |" in development
    assert "Not recorded, and left out below: four." in development


def test_nothing_missed(tmp_path: Path, explained: Path) -> None:
    right = [replace(JUDGED[0], confidence=level) for level in ("high", "medium", "low")]
    assert accuracy.write(right, [], tmp_path / "page.md") == []
    assert "Nothing.\n" in (tmp_path / "page.md").read_text()
