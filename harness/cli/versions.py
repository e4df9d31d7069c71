"""Which version of the application a run is of, where the command line says it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.scenario.schema import Scenario

_GIT = ("git", "describe", "--tags", "--always", "--dirty")
_SECONDS = 20


def versioned(scenario: Scenario, version: str | None, *, describe: bool) -> Scenario:
    """The scenario with the version that was given, or that git describes. UsageError for one that is no version."""
    from harness.scenario.base import VERSION_PATTERN

    if describe:
        if version is not None:
            raise UsageError("--version and --describe are two versions", hint="give one of them")
        version = _described()
    if version is None:
        return scenario
    if not re.fullmatch(VERSION_PATTERN, version) or version.endswith("\n"):
        raise UsageError(
            f"{version[:100]!r} is no version", hint="letters, digits and . _ + - after the first, at most 64 of them"
        )
    return scenario.model_copy(update={"version": version})


def _described() -> str:
    try:
        done = subprocess.run(_GIT, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git describe did not run: {error}", hint="say the version with --version") from error
    if done.returncode != 0:
        told = done.stderr.strip().splitlines()
        raise UsageError(f"git describe: {told[-1][:200] if told else 'failed'}", hint="say the version with --version")
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", done.stdout.strip())[:64].lstrip("._+-")
