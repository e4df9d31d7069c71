"""What fails costs its own part of the report, and says so; the rest of the report is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.model.event import Missing

T = TypeVar("T")

_MOST_CHARACTERS = 200  # of an error's text, which may quote the target


class Guard:
    """Runs the parts of the analysis that come after the diagnosis, each by itself."""

    def __init__(self) -> None:
        self._missing: list[Missing] = []

    def run(self, part: str, compute: Callable[[], T], without: T) -> T:
        """What ``compute`` gives; ``without`` where it fails, which is then noted as missing."""
        try:
            return compute()
        except Exception as error:  # noqa: BLE001  # one defect must not cost the report
            text = f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
            costs = "this part of the report is left out"
            self._missing.append(Missing(f"analysis of {part}", f"it failed, which is a defect: {text}", costs))
            return without

    def rows(self, part: str, compute: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """The same for a table; without it there are no rows."""
        return self.run(part, compute, ())

    @property
    def missing(self) -> Sequence[Missing]:
        """What has failed so far."""
        return tuple(self._missing)
