"""The formats a report can be written in. Exporters are imported when they are used: HTML needs numpy, the list does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.model.report import Report

Export = Callable[["Report"], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """``suffix`` without the dot; ``module`` holds a function ``export(report) -> bytes``."""

    suffix: str
    module: str

    def export(self, report: Report) -> bytes:
        """The report in this format."""
        function: Export = import_module(self.module).export
        return function(report)


FORMATS: dict[str, Format] = {
    "text": Format("txt", "harness.report.exporters.text"),
    "html": Format("html", "harness.report.exporters.html"),
    "json": Format("json", "harness.report.exporters.json_"),
    "md": Format("md", "harness.report.exporters.markdown"),
    "junit": Format("xml", "harness.report.exporters.junit"),
    "github": Format("md", "harness.report.exporters.github"),
}


def export(report: Report, format_name: str) -> bytes:
    """The report in the format of that name. Raises UsageError for a name that is not in `FORMATS`."""
    found = FORMATS.get(format_name)
    if found is None:
        raise UsageError(f"no report format {format_name!r}", hint=f"formats: {', '.join(FORMATS)}")
    return found.export(report)
