"""Who can have a request profiled. Pure; a secret is described and never repeated."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from adapters.php.inspection.model import Directive, Origin, Setup, WebKind, is_on
from harness.plugins.spec import Check, CheckLevel

NAMES = ("xdebug.trigger_value", "xdebug.profiler_enable_trigger_value", "xdebug.trace_enable_trigger_value")
SHORTEST, LONGEST = 16, 64  # nginx's map refuses longer keys on most machines, map_hash_bucket_size
_TUTORIALS = """1 0 yes true on start name xdebug profile trace phpstorm vscode xdebug_eclipse netbeans-xdebug sublime.xdebug
    session debug trigger secret staging startprofileforme value password"""
_USUAL = frozenset(_TUTORIALS.split())
_NEW = "xdebug.trigger_value = ...   ; openssl rand -hex 16"
_COOKIE_VARIABLE = re.compile(r"\$http_cookie\b|\$cookie_xdebug_\w+|\$arg_xdebug_\w+", re.IGNORECASE)
_COOKIE_FORMAT = re.compile(
    r"%(?:[<>!,0-9]*)\{(?:Cookie|HTTP_COOKIE)\}[ie]|%[<>!,0-9]*\{XDEBUG_[A-Z]+\}C", re.IGNORECASE
)


def secrets(setup: Setup) -> Iterator[Check]:
    """Of Xdebug that is loaded or that settings are there for."""
    lines = [d for d in setup.directives if d.name in NAMES and d.value]
    yield from _missing(setup)
    for line in lines:
        yield from _weak(line)
        yield from _readable(setup, line)
    yield from _logged_by_xdebug(setup, lines)
    yield from _logged_by_servers(setup)


def described(secret: str) -> str:
    """Length and kind, nothing else."""
    kind = "characters"
    if secret.isdigit():
        kind = "digits"
    elif secret.isalpha():
        kind = "letters"
    return f"{len(secret)} {kind}" if len(secret) != 1 else f"1 {kind.removesuffix('s')}"


def _missing(setup: Setup) -> Iterator[Check]:
    old = setup.xdebug.version is not None and setup.xdebug.version < (3, 0)
    if old:
        yield from _missing_in_2(setup)
    if not setup.profiles_by_trigger:
        return
    pools = [pool.name for pool in setup.pools] or [""]
    open_to_all = [pool for pool in pools if not setup.value("xdebug.trigger_value", pool).strip()]
    if open_to_all:
        where = setup.where("xdebug.start_with_request")
        of = f" in pool {', '.join(open_to_all)}" if open_to_all != [""] else ""
        yield Check(
            "php.xdebug.secret.missing", CheckLevel.WARNING,
            f"{where}: no xdebug.trigger_value{of}: whoever sends ?XDEBUG_TRIGGER=1 gets a profile of 10 to 200 MB written",
            _NEW,
        )  # fmt: skip


def _missing_in_2(setup: Setup) -> Iterator[Check]:
    for kind in ("profiler", "trace"):
        switch = f"xdebug.{kind}_enable_trigger"
        if is_on(setup.value(switch)) and not setup.value(f"{switch}_value"):
            yield Check(
                "php.xdebug.secret.missing", CheckLevel.WARNING,
                f"{setup.where(switch)}: {kind}_enable_trigger without {kind}_enable_trigger_value: anybody can set it off",
                f"{switch}_value = ...   ; openssl rand -hex 16",
            )  # fmt: skip


def _weak(line: Directive) -> Iterator[Check]:
    parts = [part.strip() for part in line.value.split(",")]
    for part in parts:
        if part.lower() in _USUAL:
            said = f"a value that tutorials use ({described(part)})"
        elif len(part) < SHORTEST:
            said = f"{described(part)}, which can be guessed"
        else:
            continue
        yield Check("php.xdebug.secret.weak", CheckLevel.WARNING, f"{line.place}: {line.name} is {said}", _NEW)
    if max(map(len, parts)) > LONGEST:
        yield Check(
            "php.xdebug.secret.long", CheckLevel.INFO,
            f"{line.place}: {line.name} has {described(max(parts, key=len))}; nginx's map takes {LONGEST} at most "
            "unless map_hash_bucket_size is raised",
            _NEW,
        )  # fmt: skip
    if len(parts) > 1 and line.name == "xdebug.trigger_value":
        yield Check(
            "php.xdebug.secret.list", CheckLevel.INFO,
            f"{line.place}: {line.name} is a list of {len(parts)} secrets (commas separate them), each of which is good; "
            "before Xdebug 3.1 it is one secret with commas in it",
            _NEW,
        )  # fmt: skip


def _readable(setup: Setup, line: Directive) -> Iterator[Check]:
    found = setup.files.get(line.place.file)
    if found is not None and found.mode & 0o004 and line.origin is not Origin.USER_INI:
        yield Check(
            "php.xdebug.secret.readable", CheckLevel.WARNING,
            f"{line.place}: {line.name} stands in a file that everybody on this machine may read (mode {found.mode:04o})",
            f"chmod 0640 {shlex.quote(line.place.file)}   # php-fpm reads it as root",
        )  # fmt: skip
    elif line.origin is Origin.USER_INI:
        yield Check(
            "php.xdebug.secret.readable", CheckLevel.WARNING,
            f"{line.place}: {line.name} stands below the document root, where the application and perhaps visitors read it",
            "move it into an ini file of the master",
        )  # fmt: skip
    elif line.origin is Origin.OPTION:
        yield Check(
            "php.xdebug.secret.readable", CheckLevel.WARNING,
            f"{line.place}: {line.name} on a command line is shown to everybody by ps",
            "move it into an ini file that only the master may read",
        )  # fmt: skip


def _logged_by_xdebug(setup: Setup, secrets: list[Directive]) -> Iterator[Check]:
    level = setup.value("xdebug.log_level", default="7")
    if secrets and setup.value("xdebug.log") and level.isdigit() and int(level) >= 10:
        yield Check(
            "php.xdebug.secret.logged", CheckLevel.WARNING,
            f"{setup.where('xdebug.log_level')}: at log_level {level} Xdebug writes the secret into "
            f"its log ({setup.where('xdebug.log')})",
            "xdebug.log_level = 0",
        )  # fmt: skip


def _logged_by_servers(setup: Setup) -> Iterator[Check]:
    for line in setup.web:
        if line.kind is WebKind.LOG_FORMAT and (
            _COOKIE_VARIABLE.search(line.value) or _COOKIE_FORMAT.search(line.value)
        ):
            yield Check(
                "php.xdebug.secret.access_log", CheckLevel.WARNING,
                f"{line.place}: the log format {line.name or 'without a name'} writes cookies, the secret among them",
                "leave the cookie out of the format",
            )  # fmt: skip
        if line.kind is WebKind.ARGUMENT:
            yield Check(
                "php.xdebug.secret.access_log", CheckLevel.WARNING,
                f"{line.place}: $arg_{line.name} takes the secret from the address, which every access log and referrer holds",
                f"$cookie_{line.name}   ; a cookie leaves address, cache key and body alone",
            )  # fmt: skip
    for pool in setup.pools:
        if _COOKIE_FORMAT.search(pool.setting("access.format")):
            yield Check(
                "php.xdebug.secret.access_log", CheckLevel.WARNING,
                f"{pool.where('access.format')}: access.format writes cookies, the secret among them",
                "leave %{HTTP_COOKIE}e out of the format",
            )  # fmt: skip
