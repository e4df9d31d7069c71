"""Every error a user can meet, with its exit code and its next step.

::

    HarnessError                 exit 5   a defect of ours unless a subclass says otherwise
    ├── UsageError               exit 2   wrong command line, unreadable or wrong scenario
    │   └── ScenarioError        exit 2   one or more mistakes in a scenario file, each as file:line
    ├── TargetError              exit 3   the target could not be started, reached or observed
    ├── GuardRailError           exit 4   a guard rail stopped the run; what was recorded is kept
    ├── RecordingError           exit 4   the run directory can no longer be written; what was recorded is kept
    └── RunError                 exit 2   a run directory is missing, foreign or unreadable

Exit 1 (an expectation failed) and 130 (interrupted) are outcomes of a run, not errors, and are returned by the commands.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_EXPECTATION = 1
EXIT_USAGE = 2
EXIT_TARGET = 3
EXIT_GUARD = 4
EXIT_INTERNAL = 5
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """An error with a message for people and the next step in ``hint``."""

    exit_code = EXIT_INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UsageError(HarnessError):
    """The command line or an input file is wrong."""

    exit_code = EXIT_USAGE


class ScenarioError(UsageError):
    """All mistakes of one scenario file at once; ``problems`` are ready-made ``file:line: text`` lines."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class RunError(UsageError):
    """A run directory is missing, foreign, too new or unreadable."""


class TargetError(HarnessError):
    """The target could not be started, reached or observed."""

    exit_code = EXIT_TARGET


class GuardRailError(HarnessError):
    """A guard rail stopped the run early."""

    exit_code = EXIT_GUARD


def one_line(error: BaseException) -> str:
    """What an error of a library says, as one line without control characters: it may quote what a foreign file holds."""
    return "".join(c if c.isprintable() else " " for c in str(error))[:500]
