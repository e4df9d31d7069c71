"""Xdebug 2 (PHP 7.x): the same three files, under other settings. Pure. Never run against a real one.

Sources: https://2.xdebug.org/docs/all_settings, https://xdebug.org/docs/upgrade_guide. Collector reports and the memory column of
profiles exist since 2.6. Each kind of file has a trigger of its own, which no other trigger stands for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from adapters.php.xdebug.tools import XdebugTool

OLDEST = (2, 6)
COOKIES: Mapping[str, str] = {"profile": "XDEBUG_PROFILE", "trace": "XDEBUG_TRACE"}
"""Mode -> the cookie that triggers it; collector reports have none."""

_OTHERS_OFF: Mapping[str, str] = {
    "default_enable": "0", "remote_enable": "0", "coverage_enable": "0", "profiler_enable": "0", "profiler_enable_trigger": "0",
    "auto_trace": "0", "trace_enable_trigger": "0", "gc_stats_enable": "0",
}  # fmt: skip


def is_xdebug_2(version: str) -> bool:
    return version.startswith("2.")


def is_supported(version: str) -> bool:
    """Whether it writes the files that are read here: 2.6 and newer."""
    parts = re.match(r"([0-9]{1,6})\.([0-9]{1,6})", version)
    return parts is not None and (int(parts[1]), int(parts[2])) >= OLDEST


def settings_of_2(tool: XdebugTool, output_dir: Path, secret: str | None) -> dict[str, str]:
    """The settings of Xdebug 2.6 to 2.9 that write requests with the secret down, or everything when there is none."""
    settings = {f"xdebug.{name}": value for name, value in _OTHERS_OFF.items()}
    always = secret is None or not tool.triggered
    if tool.mode == "profile":
        settings |= _chosen("profiler_enable", "profiler_enable_trigger", None if always else secret)
        settings |= {"xdebug.profiler_output_dir": str(output_dir), "xdebug.profiler_append": "0"}
    elif tool.mode == "trace":
        settings |= _chosen("auto_trace", "trace_enable_trigger", None if always else secret)
        settings |= {f"xdebug.{name}": value for name, value in tool.settings.items()}
        settings |= {"xdebug.trace_output_dir": str(output_dir), "xdebug.collect_params": "0"}
    else:
        settings |= {"xdebug.gc_stats_enable": "1", "xdebug.gc_stats_output_dir": str(output_dir)}
    settings[f"xdebug.{tool.output_setting}"] = tool.output_name
    return settings


def _chosen(always: str, trigger: str, secret: str | None) -> dict[str, str]:
    if secret is None:
        return {f"xdebug.{always}": "1"}
    return {f"xdebug.{trigger}": "1", f"xdebug.{trigger}_value": secret}
