"""Turn collected files into profiles, through the adapters that know their formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.model.profile import Artifact, ArtifactStatus, Profile
from harness.model.report import ProfileView
from harness.plugins.registry import load_adapter
from harness.store.profile_json import FORMAT, MARK, read_profile


def parse_profiles(artifacts: Sequence[Artifact], run_dir: Path) -> tuple[ProfileView, ...]:
    """One view per artifact; where parsing fails the profile is None and the artifact's detail says why. What other programs
    open (`Artifact.opens_with`) is not parsed."""
    return tuple(_view(artifact, run_dir) for artifact in artifacts)


def _view(artifact: Artifact, run_dir: Path) -> ProfileView:
    if artifact.path is None or artifact.status in (ArtifactStatus.MISSING, ArtifactStatus.REFUSED):
        return ProfileView(artifact, None)
    if artifact.opens_with is not None:
        return ProfileView(artifact, None)
    path = (run_dir / artifact.path).resolve()
    if not path.is_relative_to(run_dir.resolve()):  # a run directory from elsewhere is hostile input
        return _failed(artifact, "its path leads out of the run directory")
    try:
        return ProfileView(artifact, _parse(artifact, path))
    except (HarnessError, OSError, ValueError) as error:
        return _failed(artifact, str(error))
    except Exception as error:  # noqa: BLE001  # a defect in one adapter's parser must not cost the report
        return _failed(artifact, f"the {artifact.adapter} adapter failed on it: {type(error).__name__}: {error}")


def _parse(artifact: Artifact, path: Path) -> Profile:
    if artifact.attributes.get(MARK) == FORMAT:
        return read_profile(path)
    return load_adapter(artifact.adapter).parse(artifact.tool, path)


def _failed(artifact: Artifact, reason: str) -> ProfileView:
    detail = f"{artifact.detail}; {reason}" if artifact.detail else reason
    return ProfileView(dataclasses.replace(artifact, detail=detail), None)
