"""Who takes part: one php-fpm each, with one worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PAGES = Path(__file__).parent / "pages"
ALONE = "nothing"
COOKIE = "bench"
_XDEBUG = "apt-get install php-xdebug"


class Contestant(NamedTuple):
    """``extension``: to load, "" for none. ``agent``, ``access_log``: ours. ``cookie``: goes along with each request.

    ``settings``: of php.ini; ``{output}`` is a directory that is emptied after each turn.
    """

    name: str
    extension: str = ""
    needs: str = ""
    settings: Mapping[str, str] = {}
    agent: bool = False
    access_log: bool = False
    cookie: str = ""


def _xdebug(name: str, mode: str, cookie: str = "", **settings: str) -> Contestant:
    names = ("profiler_output_name", "trace_output_name", "gc_stats_output_name")
    common = {f"xdebug.{name}": "%p.%u.%r" for name in names}  # else each request overwrites the last one's
    common |= {
        "xdebug.output_dir": "{output}",
        "xdebug.log_level": "0",
        "xdebug.use_compression": "0",
        "max_execution_time": "0",
    }
    own = {key.replace("__", "."): value for key, value in settings.items()}
    return Contestant(name, "xdebug", _XDEBUG, {**common, "xdebug.mode": mode, **own}, cookie=cookie)


_TRIGGER = {"xdebug__start_with_request": "trigger", "xdebug__trigger_value": COOKIE}
_NO_ARGUMENTS = {f"xdebug__var_display_max_{what}": "0" for what in ("data", "depth", "children")}

EVERYBODY: tuple[Contestant, ...] = (
    Contestant(ALONE),
    Contestant("our agent", agent=True),
    Contestant("php-fpm's access log", access_log=True),
    Contestant("our agent and the access log", agent=True, access_log=True),
    _xdebug("Xdebug, mode off", "off"),
    _xdebug("Xdebug, develop (Debian's default)", "develop"),
    _xdebug("Xdebug, profile, not triggered", "profile", **_TRIGGER),
    _xdebug("Xdebug, profile, triggered", "profile", f"XDEBUG_TRIGGER={COOKIE}", **_TRIGGER),
    _xdebug("Xdebug, trace, triggered", "trace", f"XDEBUG_TRIGGER={COOKIE}", **_TRIGGER, **_NO_ARGUMENTS,
            xdebug__trace_format="1"),
    _xdebug("Xdebug, gcstats", "gcstats", xdebug__start_with_request="yes"),
    Contestant("Excimer, heap every ms", "excimer", "apt-get install php-excimer",
               {"auto_prepend_file": str(PAGES / "excimer.php")}),
    Contestant("tideways_xhprof, idle", "tideways_xhprof", "apt-get install php-tideways"),
)  # fmt: skip
