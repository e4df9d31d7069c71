"""Every setting Xdebug ever had since 2.5, in which versions, and what became of those of Xdebug 2. Pure.

Sources: the ``PHP_INI_ENTRY`` lines of xdebug.c in 2.5.5, 2.8.1, 2.9.8, 3.1.6, 3.2.0 and of the repository (3.3 to 3.5), and
https://xdebug.org/docs/upgrade_guide. PHP ignores a directive that nobody registered without a word.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters.php.inspection.model import MODES, Version, is_on

_ALWAYS = """cli_color collect_assignments collect_return dump.COOKIE dump.ENV dump.FILES dump.GET dump.POST dump.REQUEST
    dump.SERVER dump.SESSION dump_globals dump_once dump_undefined file_link_format force_display_errors force_error_reporting
    halt_level idekey max_nesting_level max_stack_frames profiler_append profiler_output_name scream show_error_trace
    show_exception_trace show_local_vars trace_format trace_options trace_output_name var_display_max_children
    var_display_max_data var_display_max_depth"""
_ONLY_2 = """auto_trace collect_includes collect_vars coverage_enable default_enable overload_var_dump profiler_enable
    profiler_enable_trigger profiler_enable_trigger_value profiler_output_dir remote_addr_header remote_autostart
    remote_connect_back remote_cookie_expire_time remote_enable remote_host remote_log remote_mode remote_port show_mem_delta
    trace_enable_trigger trace_enable_trigger_value trace_output_dir"""
_ONLY_3 = """client_discovery_header client_host client_port connect_timeout_ms discover_client_host log log_level mode
    output_dir start_upon_error start_with_request trigger_value"""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The versions that have a setting: from the first up to, not including, the second (None: still there)."""

    since: Version = (0, 0)
    until: Version | None = None

    def holds(self, version: Version) -> bool:
        return self.since <= version and (self.until is None or version < self.until)


def _lifetimes() -> Mapping[str, tuple[Lifetime, ...]]:
    known: dict[str, tuple[Lifetime, ...]] = {}
    for words, lifetime in ((_ALWAYS, Lifetime()), (_ONLY_2, Lifetime(until=(3, 0))), (_ONLY_3, Lifetime((3, 0)))):
        known |= {f"xdebug.{name}": (lifetime,) for name in words.split()}
    known |= {
        f"xdebug.{name}": lifetimes
        for name, lifetimes in {
            "extended_info": (Lifetime(until=(2, 6)),),
            "manual_url": (Lifetime(until=(2, 5)),),
            "profiler_aggregate": (Lifetime(until=(2, 9)),),
            "remote_handler": (Lifetime(until=(2, 9)),),
            "filename_format": (Lifetime((2, 6)),),
            "gc_stats_output_name": (Lifetime((2, 6)),),
            "gc_stats_enable": (Lifetime((2, 6), (3, 0)),),
            "gc_stats_output_dir": (Lifetime((2, 6), (3, 0)),),
            "remote_log_level": (Lifetime((2, 8), (3, 0)),),
            "remote_timeout": (Lifetime((2, 6), (3, 0)),),
            "collect_params": (Lifetime(until=(3, 0)), Lifetime((3, 3))),
            "cloud_id": (Lifetime((3, 1)),),
            "use_compression": (Lifetime((3, 1)),),
            "control_socket": (Lifetime((3, 4)),),
            "path_mapping": (Lifetime((3, 5)),),
        }.items()
    }
    return known


SETTINGS = _lifetimes()
# Settings that tutorials invent, and what was meant.
INVENTED: Mapping[str, tuple[str, ...]] = {
    "xdebug.collect_memory_garbage_collection": (
        "xdebug.mode = gcstats",
        "xdebug.start_with_request = yes   ; gcstats knows no trigger",
    ),
    "xdebug.memory_analysis_level": (
        "xdebug.mode = profile   ; its files have memory beside time",
        "xdebug.start_with_request = trigger",
    ),
}
# Keys of the XDEBUG_CONFIG environment variable, xdebug.c: xdebug_env_config().
_CONFIG_KEYS = """client_host client_port cloud_id discover_client_host idekey output_dir profiler_output_name log log_level
    cli_color"""
CONFIG_KEYS = frozenset(_CONFIG_KEYS.split())
_REMOVED: tuple[str, ...] = ()
_KEPT_VALUE = "xdebug.trigger_value = (the value of the old line)"


def known(name: str, version: Version) -> bool:
    """Whether this version has the setting."""
    return any(lifetime.holds(version) for lifetime in SETTINGS.get(name, ()))


def nearest(name: str, version: Version | None) -> str | None:
    """The setting that may have been meant, of this version's (None: of Xdebug 3's)."""
    names = [real for real in SETTINGS if known(real, version or (3, 99))]
    found = difflib.get_close_matches(name.lower(), names, 1, 0.75)
    return found[0] if found else None


def in_xdebug_3(name: str, value: str) -> tuple[str, ...]:
    """The lines that do in Xdebug 3 what a setting of Xdebug 2 did; () when the line is just to be deleted.

    Values of secrets are not repeated.
    """
    short = name.removeprefix("xdebug.")
    if short in _SWITCHES:
        return _SWITCHES[short] if is_on(value) else _REMOVED
    if short in _RENAMED:
        return (f"xdebug.{_RENAMED[short]} = {value}",)
    if short in ("profiler_enable_trigger_value", "trace_enable_trigger_value"):
        return (_KEPT_VALUE,)
    if short == "remote_mode":
        return ("xdebug.start_upon_error = yes",) if value == "jit" else ("xdebug.start_with_request = trigger",)
    return _REMOVED


_SWITCHES: Mapping[str, tuple[str, ...]] = {
    "auto_trace": ("xdebug.mode = trace", "xdebug.start_with_request = yes"),
    "coverage_enable": ("xdebug.mode = coverage",),
    "default_enable": ("xdebug.mode = develop",),
    "gc_stats_enable": ("xdebug.mode = gcstats", "xdebug.start_with_request = yes"),
    "profiler_enable": ("xdebug.mode = profile", "xdebug.start_with_request = yes"),
    "profiler_enable_trigger": ("xdebug.mode = profile", "xdebug.start_with_request = trigger"),
    "remote_autostart": ("xdebug.mode = debug", "xdebug.start_with_request = yes"),
    "remote_connect_back": ("xdebug.discover_client_host = 1",),
    "remote_enable": ("xdebug.mode = debug",),
    "trace_enable_trigger": ("xdebug.mode = trace", "xdebug.start_with_request = trigger"),
}
_RENAMED: Mapping[str, str] = {
    "gc_stats_output_dir": "output_dir",
    "profiler_output_dir": "output_dir",
    "trace_output_dir": "output_dir",
    "remote_addr_header": "client_discovery_header",
    "remote_host": "client_host",
    "remote_log": "log",
    "remote_log_level": "log_level",
    "remote_port": "client_port",
    "remote_timeout": "connect_timeout_ms",
}


def in_xdebug_2(name: str, value: str) -> tuple[str, ...]:
    """The reverse, for a setting of Xdebug 3 in a 2.x; () where 2.x has nothing like it."""
    short = name.removeprefix("xdebug.")
    convert = _BACK.get(short)
    return () if convert is None else convert(value)


def _modes_back(value: str) -> tuple[str, ...]:
    lines = {
        "develop": "xdebug.default_enable = 1",
        "coverage": "xdebug.coverage_enable = 1",
        "debug": "xdebug.remote_enable = 1",
        "gcstats": "xdebug.gc_stats_enable = 1",
        "profile": "xdebug.profiler_enable_trigger = 1",
        "trace": "xdebug.trace_enable_trigger = 1",
    }
    asked = [item.strip() for item in value.split(",")]
    return tuple(lines[mode] for mode in MODES if mode in asked and mode in lines)


_BACK: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    "mode": _modes_back,
    "output_dir": lambda value: (f"xdebug.profiler_output_dir = {value}", f"xdebug.trace_output_dir = {value}"),
    "trigger_value": lambda _: ("xdebug.profiler_enable_trigger_value = (the value of this line)",),
    "start_with_request": lambda value: (
        ("xdebug.profiler_enable = 1",) if is_on(value) else ("xdebug.profiler_enable_trigger = 1",)
    ),
    "client_host": lambda value: (f"xdebug.remote_host = {value}",),
    "client_port": lambda value: (f"xdebug.remote_port = {value}",),
    "client_discovery_header": lambda value: (f"xdebug.remote_addr_header = {value}",),
    "discover_client_host": lambda value: (f"xdebug.remote_connect_back = {value}",),
    "log": lambda value: (f"xdebug.remote_log = {value}",),
    "log_level": lambda value: (f"xdebug.remote_log_level = {value}",),
    "connect_timeout_ms": lambda value: (f"xdebug.remote_timeout = {value}",),
}
