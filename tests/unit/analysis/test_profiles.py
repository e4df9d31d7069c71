"""Parsing of collected files, through a real adapter of this package."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.analysis.profiles import parse_profiles
from harness.model.profile import Artifact, ArtifactStatus


def artifact(
    path: str | None, *, adapter: str = "python", status: ArtifactStatus = ArtifactStatus.COMPLETE
) -> Artifact:
    return Artifact("tracemalloc", adapter, path, status, None, "home", 1, 0, None, "")


def test_a_file_that_is_not_what_it_should_be_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00not a profile")
    (view,) = parse_profiles([artifact("x")], tmp_path)
    assert view.profile is None
    assert view.artifact.detail


def test_a_missing_file(tmp_path: Path) -> None:
    (view,) = parse_profiles([artifact("gone")], tmp_path)
    assert view.profile is None
    assert view.artifact.detail


def test_an_adapter_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    (view,) = parse_profiles([artifact("x", adapter="cobol")], tmp_path)
    assert view.profile is None
    assert "no adapter" in view.artifact.detail


def test_a_path_out_of_the_run_directory_is_not_followed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret").write_bytes(b"{}")
    (run / "link").symlink_to(tmp_path / "secret")
    for path in ("../secret", str(tmp_path / "secret"), "link"):
        (view,) = parse_profiles([artifact(path)], run)
        assert "leads out" in view.artifact.detail


def test_what_other_programs_open_is_passed_on_unread(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"fl=(1) app.py\n")
    companion = dataclasses.replace(artifact("x"), attributes={"opens_with": "KCachegrind"})
    (view,) = parse_profiles([companion], tmp_path)
    assert (view.artifact, view.profile) == (companion, None)


def test_what_was_never_there_is_passed_on(tmp_path: Path) -> None:
    missing, refused = artifact(None, status=ArtifactStatus.MISSING), artifact("x", status=ArtifactStatus.REFUSED)
    assert [v.profile for v in parse_profiles([missing, refused], tmp_path)] == [None, None]
