"""Names of Xdebug's files: what they say, and which are to be believed. Pure; every name is hostile text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from adapters.php.xdebug.tools import XdebugTool

_HEADER_CAP = 4096
_SHOWN_CAP = 120


class RefusedError(Exception):
    """The file must not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class OutputName:
    """A name made from `XdebugTool.output_name`. ``started_ns``: wall time, to the microsecond. ``span_id``: None where the
    request had none, or the server does not pass it on."""

    name: str
    pid: int
    started_ns: int
    span_id: str | None


def parse_name(tool: XdebugTool, name: str) -> OutputName | None:
    """What our own output name says; None for every other name."""
    match = _ours(tool).match(name)
    if match is None:
        return None
    started_ns = (int(match["seconds"]) * 1_000_000 + int(match["micros"])) * 1000
    return OutputName(name, int(match["pid"]), started_ns, match["span"])


def is_name(tool: XdebugTool, name: str) -> bool:
    """Whether a file of this tool could be called so, in a deployment with an output name of its own."""
    return _theirs(tool).match(name) is not None


def pid_in_name(tool: XdebugTool, name: str) -> int | None:
    """The worker's pid, which both the recommended output name and Xdebug's own begin with."""
    match = _pid(tool).match(name)
    return int(match[1]) if match else None


def name_from_header(tool: XdebugTool, header: str, *, ours: bool) -> str:
    """The file's bare name. The header is a hostile path: everything but its last part is ignored. Raises RefusedError."""
    name = PurePosixPath(header[:_HEADER_CAP]).name
    if not (_ours(tool) if ours else _theirs(tool)).match(name):
        raise RefusedError(
            f"the response names a {tool.kind} {name[:_SHOWN_CAP]!r}, which is not a name Xdebug was told to use"
        )
    return name


def _ours(tool: XdebugTool) -> re.Pattern[str]:
    """The span is missing in names of earlier versions; Xdebug 2 writes "_" between seconds and microseconds."""
    return re.compile(
        rf"{re.escape(tool.prefix)}\.(?P<pid>[0-9]{{1,10}})\.(?P<seconds>[0-9]{{1,12}})[._](?P<micros>[0-9]{{6}})\.[0-9a-f]{{6}}"
        rf"(?:\.(?P<span>[0-9a-f]{{16}})?)?{re.escape(tool.suffix)}(?:\.gz)?\Z"
    )


def _theirs(tool: XdebugTool) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(tool.prefix)}\.[A-Za-z0-9._%+-]{{1,200}}\Z")


def _pid(tool: XdebugTool) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(tool.prefix)}\.([0-9]{{1,10}})(?:\.|\Z)")
