"""What a recording is asked for, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.model.run import RunStatus
from harness.scenario.schema import Scenario
from harness.session.sampler_client import TickView
from harness.targets.attach import Attachment


@dataclass(frozen=True, slots=True)
class Request:
    """What to record and where to.

    ``output``: None = look, and write nothing. ``attachments``: what the scenario's ``attach`` was found to mean, empty = find
    out. ``observers`` see every sweep after it was recorded.
    """

    scenario: Scenario
    scenario_path: Path
    output: Path | None
    environ: Mapping[str, str]
    attachments: tuple[Attachment, ...] = ()
    observers: tuple[Callable[[TickView], None], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How recording ended. ``exit_code`` speaks of the recording only; expectations are judged by the caller."""

    run_directory: Path | None  # None: nothing was to be written
    status: RunStatus
    exit_code: int
    error: HarnessError | None
