"""Xdebug's settings for profiling single requests, and how it is kept out of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

OUTPUT_NAME = "cachegrind.out.%p.%u.%r"  # pid, start in seconds.microseconds, random: nothing is ever overwritten

# A trigger in the environment would profile every request of the measured rounds.
_NO_TRIGGERS: Mapping[str, str | None] = {"XDEBUG_TRIGGER": None, "XDEBUG_PROFILE": None, "XDEBUG_SESSION": None}

OFF_ENV: Mapping[str, str | None] = {**_NO_TRIGGERS, "XDEBUG_MODE": "off"}
"""Costs nothing, and wins over any ini file: distributions enable the develop mode for everything, which doubles times."""

ON_ENV: Mapping[str, str | None] = {**_NO_TRIGGERS, "XDEBUG_MODE": None}
"""Leaves the mode to the ini settings of `profiling`; child processes then do not inherit it."""


def profiling(output_dir: Path, secret: str | None, *, load: bool) -> dict[str, str]:
    """Settings that profile requests carrying the secret, or everything when there is none (scripts)."""
    settings = {"zend_extension": "xdebug.so"} if load else {}
    settings |= {
        "xdebug.mode": "profile",
        "xdebug.start_with_request": "yes" if secret is None else "trigger",
        "xdebug.output_dir": str(output_dir),
        "xdebug.profiler_output_name": OUTPUT_NAME,
        "xdebug.use_compression": "0",
        "xdebug.log_level": "0",  # higher levels write the secret into the log
        "max_execution_time": "0",  # a profiled page takes ten times as long
    }
    if secret is not None:
        settings["xdebug.trigger_value"] = secret
    return settings


def scan_dir_env(directory: Path, current: str | None) -> Mapping[str, str]:
    """The environment that adds a directory of ini files after those PHP reads anyway. ``current`` is PHP_INI_SCAN_DIR so far.

    An empty element stands for the built-in directory, but a variable that is empty as a whole means no directory at all.
    """
    before = "" if current is None else current
    return {"PHP_INI_SCAN_DIR": str(directory) if current == "" else f"{before}:{directory}"}
