"""What Xdebug can write down of one request: its profile, its trace, its collector runs. One entry each; what differs is here.

Names (run with Xdebug 3.2): all three settings know the same specifiers; ``.xt`` is put behind a trace's name; ``%U``, the
request's UNIQUE_ID, is nothing where there is none, so the name then ends with a dot. All three files are locked until they are
closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.formats.cachegrind import read_cachegrind
from adapters.formats.xdebug_gcstats import read_gcstats
from adapters.formats.xdebug_trace import read_trace
from harness.model.profile import Profile

_WRITE_BYTES_PER_S = 75_000_000  # what one worker was seen to write at most
_REQUEST_S = 30  # a page of 0.3 s takes 10 s under a trace


@dataclass(frozen=True, slots=True, eq=False)
class XdebugTool:
    """One mode of Xdebug.

    ``name``: of the tool, of its directories and sockets. ``kind``: what its file is called in messages. ``output_setting``: the
    setting that names files, without ``xdebug.``; ``prefix`` and ``suffix``: their names begin and end so. ``settings``: what
    else it needs, by name without ``xdebug.``. ``triggered``: obeys a trigger; else everything is written down where it is on.
    ``end``: what a complete file ends with, ``end_is`` in words; None: that the lock was let go is all there is to see.
    ``needs_bytes``: with less disk space than this nothing is triggered. ``extension``: of our copies.
    """

    name: str
    mode: str
    kind: str
    output_setting: str
    prefix: str
    suffix: str
    settings: Mapping[str, str]
    triggered: bool
    cookie_suffix: str
    end: re.Pattern[bytes] | None
    end_is: str
    cap_bytes: int
    needs_bytes: int
    extension: str
    read: Callable[[Path], Profile]

    @property
    def output_name(self) -> str:
        """Pid, start in seconds.microseconds, random (nothing is ever overwritten), and the span of the request."""
        return f"{self.prefix}.%p.%u.%r.%U"

    def secret(self, base: str) -> str:
        """The cookie value of this tool where ``base`` is that of profiles."""
        return base + self.cookie_suffix


PROFILE = XdebugTool(
    name="xdebug",
    mode="profile",
    kind="profile",
    output_setting="profiler_output_name",
    prefix="cachegrind.out",
    suffix="",
    settings={"profiler_append": "0"},
    triggered=True,
    cookie_suffix="",
    end=re.compile(rb"(?:\A|\n)summary: [0-9]+(?: [0-9]+)?\n\s*\Z"),
    end_is="summary line",
    cap_bytes=512 << 20,
    needs_bytes=1 << 30,
    extension=".cachegrind",
    read=read_cachegrind,
)
TRACE = XdebugTool(
    name="xdebug_trace",
    mode="trace",
    kind="trace",
    output_setting="trace_output_name",
    prefix="trace",
    suffix=".xt",
    # Arguments are what makes traces huge, and they are other people's data.
    settings={
        "trace_format": "1",
        "trace_options": "0",
        "collect_return": "0",
        "collect_assignments": "0",
        "var_display_max_data": "0",
        "var_display_max_depth": "0",
        "var_display_max_children": "0",
    },
    triggered=True,
    cookie_suffix="-trace",
    end=re.compile(rb"(?:\A|\n)TRACE END   \[[^\]\n]{1,64}\]\s*\Z"),
    end_is="end line",
    cap_bytes=1 << 30,
    needs_bytes=_WRITE_BYTES_PER_S * _REQUEST_S,
    extension=".xt",
    read=read_trace,
)
GCSTATS = XdebugTool(
    name="xdebug_gcstats",
    mode="gcstats",
    kind="report of the collector",
    output_setting="gc_stats_output_name",
    prefix="gcstats",
    suffix="",
    settings={},
    triggered=False,
    cookie_suffix="-gcstats",
    end=None,
    end_is="end",
    cap_bytes=64 << 20,
    needs_bytes=64 << 20,
    extension=".gcstats",
    read=read_gcstats,
)

TOOLS: Mapping[str, XdebugTool] = {tool.name: tool for tool in (PROFILE, TRACE, GCSTATS)}


def chosen(names: Collection[str]) -> tuple[XdebugTool, ...]:
    """Those of these tools that are Xdebug's."""
    return tuple(tool for name, tool in TOOLS.items() if name in names)
