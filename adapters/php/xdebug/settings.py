"""Xdebug's settings for single requests and scripts, and how it is kept out of everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from adapters.php.xdebug.tools import XdebugTool
from adapters.php.xdebug.version2 import is_xdebug_2, settings_of_2

PATH_LIMIT = 255  # Xdebug cuts what is longer, the span first

# A trigger in the environment would profile every request of the measured rounds.
_NO_TRIGGERS: Mapping[str, str | None] = {
    "XDEBUG_TRIGGER": None, "XDEBUG_PROFILE": None, "XDEBUG_TRACE": None, "XDEBUG_SESSION": None, "XDEBUG_CONFIG": None
}  # fmt: skip

OFF_ENV: Mapping[str, str | None] = {**_NO_TRIGGERS, "XDEBUG_MODE": "off"}
"""Costs nothing, and wins over any ini file: distributions enable the develop mode for everything, which doubles times."""

ON_ENV: Mapping[str, str | None] = {**_NO_TRIGGERS, "XDEBUG_MODE": None}
"""Leaves the mode to the ini settings of `settings_of`; child processes then do not inherit it."""

_LONGEST_NAME = len("cachegrind.out.4194304.1795664872.857595.01ec83.0123456789abcdef.0a1b2c")


def settings_of(
    tool: XdebugTool, output_dir: Path, secret: str | None, *, load: bool, version: str | None = None
) -> dict[str, str]:
    """php.ini settings under which requests with the secret, or everything when there is none (scripts), are written down.

    ``load``: php.ini does not load Xdebug already. ``version``: Xdebug's, None where it is not known, but 3.
    """
    settings = {"zend_extension": "xdebug.so"} if load else {}
    settings["max_execution_time"] = "0"  # a profiled page takes ten times as long
    if version is not None and is_xdebug_2(version):
        return settings | settings_of_2(tool, output_dir, secret)
    settings |= {
        "xdebug.mode": tool.mode,
        "xdebug.start_with_request": "trigger" if tool.triggered and secret is not None else "yes",
        "xdebug.output_dir": str(output_dir),
        f"xdebug.{tool.output_setting}": tool.output_name,
        "xdebug.use_compression": "0",
        "xdebug.log_level": "0",  # higher levels write the secret into the log
        **{f"xdebug.{name}": value for name, value in tool.settings.items()},
    }
    if tool.mode == "trace" and version is not None and _numbers(version) >= (3, 3):
        settings["xdebug.collect_params"] = "0"  # older versions know no such setting and say so at every start
    if tool.triggered and secret is not None:
        settings["xdebug.trigger_value"] = secret
    return settings


def fits(output_dir: Path) -> bool:
    """Whether Xdebug writes whole names into this directory."""
    return len(str(output_dir).encode()) + 1 + _LONGEST_NAME <= PATH_LIMIT


def scan_dir_env(directory: Path, current: str | None) -> Mapping[str, str]:
    """The environment that adds a directory of ini files after those PHP reads anyway. ``current`` is PHP_INI_SCAN_DIR so far.

    An empty element stands for the built-in directory, but a variable that is empty as a whole means no directory at all.
    """
    before = "" if current is None else current
    return {"PHP_INI_SCAN_DIR": str(directory) if current == "" else f"{before}:{directory}"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,6}", version)[:3])
