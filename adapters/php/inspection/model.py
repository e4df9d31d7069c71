"""One PHP set-up as it was found: its settings with the lines they stand in, its pools, its files. Frozen; texts are hostile.

What PHP has in force and in which order it reads things: https://www.php.net/manual/en/configuration.file.php and
https://www.php.net/manual/en/install.fpm.configuration.php
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Version = tuple[int, int]
# What a PHP is asked with values of ours for these, see phpinfo.py.
_ASKED_OTHERWISE = ("xdebug.mode", "xdebug.start_with_request", "xdebug.profiler_enable", "xdebug.auto_trace")
MODES = ("off", "develop", "coverage", "debug", "gcstats", "profile", "trace")


class Sapi(StrEnum):
    """What PHP runs in."""

    FPM = "php-fpm"
    SERVER = "php -S"
    CLI = "php"
    APACHE = "mod_php"


class Origin(StrEnum):
    """Where a setting was made. The value is how a sentence calls it."""

    INI = "php.ini or a scanned file"
    SECTION = "a [HOST=] or [PATH=] section of php.ini"  # applied when a request starts
    OPTION = "the command line"
    POOL = "a pool"
    USER_INI = "a .user.ini"
    WEB = "the web server's PHP_VALUE"
    MODULE = "Apache's php_value"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, as the process sees the path; ``line`` None: not a file's line (the environment, an option)."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Directive:
    """One setting as written: ``value`` without quotes. ``pool``: of which php-fpm pool."""

    name: str
    value: str
    place: Place
    origin: Origin = Origin.INI
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account; ``name`` for sentences."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of php-fpm. ``lines``: its own settings (``pm.max_requests``); ``env``: of ``env[NAME]``; name -> (value, place).
    ``place``: of its section. ``account``: None when it is not known."""

    name: str
    place: Place
    lines: Mapping[str, tuple[str, Place]] = field(default_factory=dict)
    env: Mapping[str, tuple[str, Place]] = field(default_factory=dict)
    account: Owner | None = None

    def setting(self, name: str, default: str = "") -> str:
        return self.lines[name][0] if name in self.lines else default

    def where(self, name: str) -> Place:
        return self.lines[name][1] if name in self.lines else self.place


@dataclass(frozen=True, slots=True)
class FileMode:
    """Who may do what with a file; permission bits only."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Output:
    """A directory that profiles go to. ``pool``: "" where there are none. ``writable``: by ``account``, None: not known.

    ``host_path``: where this machine sees it, when that is not ``path``; ``error``: why it could not be looked at.
    """

    path: str
    pool: str = ""
    account: Owner | None = None
    exists: bool = True
    writable: bool | None = None
    mode: int | None = None
    free_bytes: int | None = None
    host_path: str | None = None
    error: str = ""


class WebKind(StrEnum):
    """What a line of a web server's configuration does."""

    PARAMETER = "parameter"  # a PHP setting that is sent to php-fpm with each request: name, value
    MODULE = "module"  # a PHP setting of mod_php: name, value
    LOG_FORMAT = "log format"  # name, the format
    ROOT = "document root"
    ARGUMENT = "argument"  # a variable of the query string decides something: name


@dataclass(frozen=True, slots=True)
class WebLine:
    """One thing found in nginx's or Apache's configuration."""

    kind: WebKind
    name: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that may not or cannot be looked at, and what is not known therefore."""

    what: str
    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Xdebug:
    """``version`` None: it is not loaded. ``zlib`` None: not told (before 3.1)."""

    version: Version | None = None
    text: str = ""  # as it calls itself, "3.2.0"
    zlib: bool | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """One configuration of one PHP.

    ``in_force``: the master values of php.ini settings as PHP itself tells them, "" for unset; None when it could not be
    asked. ``environment``: None when it may not be read. ``missing_extensions``: paths that are named and not there.
    ``mapped_xdebug``: the process has Xdebug in its memory; None when that may not be read.
    """

    title: str
    sapi: Sapi
    binary: str
    php: Version | None = None
    running: bool = False
    pids: tuple[int, ...] = ()
    in_force: Mapping[str, str] | None = None
    extensions: frozenset[str] = frozenset()
    xdebug: Xdebug = Xdebug()
    directives: tuple[Directive, ...] = ()
    files: Mapping[str, FileMode] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    pools: tuple[Pool, ...] = ()
    outputs: tuple[Output, ...] = ()
    web: tuple[WebLine, ...] = ()
    docroots: tuple[str, ...] = ()
    missing_extensions: tuple[Directive, ...] = ()
    unread: tuple[Unread, ...] = ()
    mapped_xdebug: bool | None = None
    ptrace_scope: int | None = None

    def lines(self, name: str) -> Iterator[Directive]:
        """Every place where a setting is made, the strongest last."""
        return (d for d in self.directives if d.name == name)

    def master(self, name: str) -> Directive | None:
        """The line that decides the value a process starts with; None when it is the default."""
        found = [d for d in self.lines(name) if d.origin in (Origin.INI, Origin.OPTION)]
        return found[-1] if found else None

    def value(self, name: str, pool: str = "", default: str = "") -> str:
        """In force for requests of a pool ("" = without pools)."""
        own = [d for d in self.lines(name) if d.origin is Origin.POOL and d.pool == pool] if pool else []
        if own:
            return own[-1].value
        if name in _ASKED_OTHERWISE or self.in_force is None or name not in self.in_force:
            line = self.master(name)
            return default if line is None else line.value
        return self.in_force[name]

    def corrected(self, name: str, value: str, pool: str = "") -> str:
        """The line to write where `where` points: a pool takes no settings of PHP as they are."""
        own = pool and any(d.origin is Origin.POOL and d.pool == pool for d in self.lines(name))
        return f"php_admin_value[{name}] = {value}" if own else f"{name} = {value}"

    def where(self, name: str, pool: str = "") -> Place:
        """The line that decides, or what stands for it."""
        own = [d for d in self.lines(name) if d.origin is Origin.POOL and d.pool == pool] if pool else []
        line = own[-1] if own else self.master(name)
        return Place(f"{self.title}, by default") if line is None else line.place

    @property
    def mode_text(self) -> str:
        """What the modes are made from: XDEBUG_MODE wins, then the setting, then Xdebug's default."""
        return self._environment_mode or self.value("xdebug.mode", default="develop")

    @property
    def mode_place(self) -> Place:
        if self._environment_mode:
            return Place("XDEBUG_MODE in the environment")
        line = self.master("xdebug.mode")
        if line is not None:
            return line.place
        return self.loading_place

    @property
    def loading_place(self) -> Place:
        """Where Xdebug is loaded."""
        loads = [d.place for d in self.directives if loads_xdebug(d)]
        return loads[-1] if loads else Place(self.title)

    @property
    def modes(self) -> frozenset[str]:
        """The modes that are on; empty: off, or no Xdebug 3. A setting that is no list of modes turns on develop."""
        if self.xdebug.version is None or self.xdebug.version < (3, 0):
            return frozenset()
        found = modes_of(self.mode_text)
        return frozenset({"develop"}) if found is None else found

    @property
    def start(self) -> str:
        """``yes``, ``no``, ``trigger`` or ``default``, which is what Xdebug takes any other word for."""
        text = self.value("xdebug.start_with_request", default="default")
        if is_on(text):
            return "yes"
        return "no" if text.lower() in ("", "no", "off") else "trigger" if text == "trigger" else "default"

    @property
    def profiles_by_trigger(self) -> bool:
        """Whether requests can be profiled one by one. For the profiler "default" is yes, for traces it is trigger."""
        return ("profile" in self.modes and self.start == "trigger") or (
            "trace" in self.modes and self.start in ("trigger", "default")
        )

    @property
    def profiles(self) -> bool:
        """Whether the profiler can run, in Xdebug 2 too."""
        old = self.xdebug.version is not None and self.xdebug.version < (3, 0)
        switches = ("xdebug.profiler_enable", "xdebug.profiler_enable_trigger")
        return "profile" in self.modes or (old and any(is_on(self.value(name)) for name in switches))

    @property
    def writes_files(self) -> bool:
        return self.profiles or bool(self.modes & {"trace", "gcstats"})

    @property
    def _environment_mode(self) -> str:
        text = (self.environment or {}).get("XDEBUG_MODE", "")
        return text if text and modes_of(text) is not None else ""


def modes_of(text: str) -> frozenset[str] | None:
    """The modes that a list turns on; None where one of its words is none: Xdebug then ignores an environment variable, and
    takes a setting for "develop". Any beginning of a name will do (``p`` is profile, as tried with 3.2)."""
    found = set()
    for item in mode_items(text):
        name = next((mode for mode in MODES if mode.startswith(item)), None)
        if name is None:
            return None
        found.add(name)
    return frozenset(found - {"off"})


def mode_items(text: str) -> tuple[str, ...]:
    """The comma list of xdebug.mode taken apart; nothing means off."""
    return tuple(item.lstrip(" ") or "off" for item in text.split(","))


def loads_xdebug(directive: Directive) -> bool:
    """Whether a line is there to load Xdebug."""
    stem = directive.value.rpartition("/")[2].lower().removesuffix(".so")
    return directive.name in ("zend_extension", "extension", "zend_extension_ts") and stem == "xdebug"


def is_on(value: str) -> bool:
    """php.ini's idea of true."""
    return value.strip().lower() in ("1", "on", "yes", "true")
