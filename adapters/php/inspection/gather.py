"""The PHP set-ups of some processes, or of this machine. Looks, changes nothing; what may not be looked at is listed as such."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from adapters.php.command import is_fpm, is_php, parse_command
from adapters.php.inspection.access import file_modes, outputs
from adapters.php.inspection.files import Root
from adapters.php.inspection.fpm_files import php_settings, pools_of, read_fpm
from adapters.php.inspection.ini_files import parse_ini
from adapters.php.inspection.model import (
    Directive,
    FileMode,
    Origin,
    Owner,
    Place,
    Pool,
    Sapi,
    Setup,
    Unread,
    Version,
    WebKind,
    Xdebug,
)
from adapters.php.inspection.phpinfo import Told, ask, version_of
from adapters.php.inspection.processes import Running, look_at
from adapters.php.inspection.web import web_lines

_MOST_SETUPS = 16
_PROGRAM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/php/bin", "/opt/php/sbin")
_EXTENSION = re.compile(r"/(?:[a-z-]+-)?(20\d{6})/[^/]+\.so\Z")
# ZEND_MODULE_API_NO, Zend/zend_modules.h: the name of the directory of extensions.
_API = {"20170718": (7, 2), "20180731": (7, 3), "20190902": (7, 4), "20200930": (8, 0), "20210902": (8, 1),
        "20220829": (8, 2), "20230831": (8, 3), "20240924": (8, 4), "20250925": (8, 5)}  # fmt: skip
_FPM_CONFIGS = ("{ini}/php-fpm.conf", "{ini}/../php-fpm.conf", "/usr/local/etc/php-fpm.conf", "/etc/php-fpm.conf")
# Where builds look for php.ini, for a PHP that cannot be asked: the official image, Debian, Fedora, Alpine.
_USUAL_INI = ("/usr/local/etc/php", "/etc/php/*/{sapi}", "/etc", "/etc/php*")
_USUAL_SCAN = {"/usr/local/etc/php": "conf.d", "/etc": "php.d"}
_DEBIAN_SAPI = {Sapi.FPM: "fpm", Sapi.CLI: "cli", Sapi.SERVER: "cli", Sapi.APACHE: "apache2"}


# --- processes ----------------------------------------------------------------------------------------------------------


def setups_of(pids: Sequence[int]) -> tuple[Setup, ...]:
    """One for each PHP configuration that these processes have: workers count as their master, and programs that were started
    alike as one. Others are left out."""
    found: dict[object, tuple[Running, list[int]]] = {}
    closed: list[int] = []
    look = cache(look_at)  # the master of many workers is looked at once
    for pid in pids:
        process = look(pid)
        if process is not None and process.is_apache and process.maps is None:
            closed.append(pid)
        if process is None or process.sapi is None:
            continue
        head = _head(process, look)
        found.setdefault(_alike(head), (head, []))[1].append(pid)
    chosen = list(found.values())[:_MOST_SETUPS]
    setups = [_of_process(head, tuple(pids)) for head, pids in chosen]
    if len(found) > len(chosen):
        rest = Unread(f"{len(found) - len(chosen)} more PHP processes", f"only {_MOST_SETUPS} are looked at", "--pid N")
        setups[-1] = replace(setups[-1], unread=(*setups[-1].unread, rest))
    if closed:
        title = f"Apache {closed[0]}"
        why = "its memory may not be looked into, which tells whether mod_php is there"
        setups.append(Setup(title, Sapi.APACHE, "", unread=(Unread(title, why, "run the harness as root"),)))
    return tuple(setups)


def _alike(process: Running) -> object:
    """Equal for processes of one configuration."""
    if process.sapi in (Sapi.FPM, Sapi.APACHE):
        return process.pid
    environment = process.environment or {}
    decides = tuple(sorted((n, v) for n, v in environment.items() if n.startswith(("PHP", "XDEBUG_", "USE_ZEND"))))
    docroot = process.cwd if process.sapi is Sapi.SERVER else None
    return process.sapi, process.exe, _options(process), decides, docroot, process.root, process.owner


def _head(process: Running, look: Callable[[int], Running | None]) -> Running:
    """The process whose configuration it is: of a worker its master, of Apache's children the parent."""
    for _ in range(3):
        parent = look(process.ppid) if process.ppid > 1 else None
        same = parent is not None and parent.sapi is process.sapi and parent.sapi in (Sapi.FPM, Sapi.APACHE)
        if parent is None or not same:  # a worker that was just forked has its master's title still
            break
        process = parent
    return process


def _of_process(process: Running, pids: tuple[int, ...]) -> Setup:
    sapi = process.sapi
    assert sapi is not None
    exe = process.exe.removesuffix(" (deleted)")
    asked = _Asked(
        process.root, sapi, exe, _options(process), process.environment, process.cwd, _ids(process.owner),
        _docroot(process), _from_memory(process.maps or frozenset()),
    )  # fmt: skip
    title = f"{_name(sapi, process)} {process.pid}"
    unread = list(_process_unread(process, title))
    told: Told | str = f"{exe} cannot be started from here" if exe else "which program it is may not be read"
    if sapi is Sapi.APACHE:
        asked, told = _module(asked, _module_version(process.maps or ()))
    elif _same_program(process, exe):
        may = os.geteuid() in (0, process.owner.uid)
        told = _ask(asked) if may else "it belongs to another user"
    setup = _setup(title, asked, told, process.fpm_config, unread)
    return replace(setup, running=True, pids=pids, mapped_xdebug=process.maps_xdebug)


def _name(sapi: Sapi, process: Running) -> str:
    if sapi is Sapi.FPM:
        return "php-fpm master" if process.fpm_config is not None else "php-fpm"
    return {Sapi.APACHE: "Apache with mod_php", Sapi.SERVER: "php -S", Sapi.CLI: "php"}[sapi]


def _process_unread(process: Running, title: str) -> Iterator[Unread]:
    root = "run the harness as root"
    if process.environment is None:
        yield Unread(f"the environment of {title}", "XDEBUG_MODE or PHP_INI_SCAN_DIR in it would decide", root)
    if process.sapi is Sapi.FPM and not process.argv:
        why = "php-fpm writes its title over it, and no copy may be read or was found: -c, -d and -n in it would decide"
        yield Unread(f"the command line of {title}", why, root)
    if process.shares_files is None:
        yield Unread(f"the root directory of {title}", "it may have files of its own (a container, PrivateTmp)", root)


def _same_program(process: Running, exe: str) -> bool:
    """Whether the program of the process is the file that this path means to us. Nothing else is ever started."""
    try:
        return bool(exe) and os.path.samestat(Path(f"/proc/{process.pid}/exe").stat(), Path(exe).stat())
    except OSError:
        return False


def _options(process: Running) -> tuple[str, ...]:
    """The words that decide about configuration (-c, -d, -n)."""
    if not process.argv:
        return ()
    if process.sapi is Sapi.FPM:
        return fpm_configuration(process.argv[1:])
    command = parse_command(("php", *process.argv[1:]))
    return () if command is None else command.configuration[1:]


def fpm_configuration(words: Sequence[str]) -> tuple[str, ...]:
    """The same of php-fpm's command line, whose letters are its own (-F takes no value there). Pure; sapi/fpm/fpm/fpm_main.c."""
    long = {"--php-ini": "-c", "--define": "-d", "--no-php-ini": "-n"}
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        name, _, joined = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        letter = long.get(name, name)
        if letter == "-n":
            found.append("-n")
        elif letter in ("-c", "-d"):
            found += [letter, joined or next(rest, "")]
        elif letter in ("-y", "-p", "-g", "--fpm-config", "--prefix", "--pid") and not joined:
            next(rest, "")
    return tuple(found)


def _docroot(process: Running) -> str | None:
    command = parse_command(("php", *process.argv[1:])) if process.sapi is Sapi.SERVER else None
    return None if command is None else os.path.normpath(Path(process.cwd or "/", command.docroot or ""))


def _from_memory(maps: Iterable[str]) -> tuple[Version | None, Xdebug]:
    """The PHP that the extensions in a process were built for, and whether Xdebug is one of them."""
    php = next((_API[m[1]] for path in maps if (m := _EXTENSION.search(path)) and m[1] in _API), None)
    there = any(path.endswith("/xdebug.so") for path in maps)
    return php, Xdebug((3, 0), "3") if there and php is not None and php >= (8, 0) else Xdebug()


def _ids(owner: Owner) -> tuple[int, int] | None:
    return None if owner.uid == os.geteuid() else (owner.uid, owner.gid)


# --- what is installed ----------------------------------------------------------------------------------------------------


def installed_setups() -> tuple[Setup, ...]:
    """One for each php and php-fpm program found in PATH and at the usual places, and one for each configured mod_php."""
    found = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDEBUG_")}
    for path, sapi in _programs():
        asked = _Asked(Root(), sapi, path, (), environment, None, None)
        found.append(_setup(path, asked, _ask(asked), None, []))
    for directory in Root().matching("/etc/php/*/apache2"):
        asked, told = _module(_Asked(Root(), Sapi.APACHE, "", (), environment, None, None), directory.split("/")[3])
        found.append(_setup(f"mod_php ({directory})", asked, told, None, []))
    return tuple(found[:_MOST_SETUPS])


def _module(asked: _Asked, version: str) -> tuple[_Asked, Told | str]:
    """mod_php cannot be asked; the command-line PHP of its version is, with the ini files that Debian gives the module."""
    directory, binary = f"/etc/php/{version}/apache2", f"/usr/bin/php{version}"
    if not version or asked.root.prefix or not Path(binary).is_file() or not Path(directory).is_dir():
        return asked, "what mod_php has in force is known to Apache only"
    environment = {"PHP_INI_SCAN_DIR": f"{directory}/conf.d", **(asked.environment or {})}
    asked = replace(asked, binary=binary, options=("-c", f"{directory}/php.ini"), environment=environment)
    told = _ask(asked)
    if isinstance(told, str):
        return asked, told
    # The command line has values of its own for these, whatever the files say.
    own = ("max_execution_time", "max_input_time", "html_errors", "implicit_flush", "output_buffering")
    return asked, replace(told, in_force={n: v for n, v in told.in_force.items() if n not in own})


def _module_version(maps: Iterable[str]) -> str:
    found = [match[1] for path in maps if (match := re.search(r"/libphp(\d+\.\d+)\.so\Z", path))]
    return found[0] if found else ""


def _programs() -> Iterator[tuple[str, Sapi]]:
    """Every program once, by the shortest of its names."""
    by_file: dict[str, str] = {}
    for directory in dict.fromkeys((*os.environ.get("PATH", "").split(":"), *_PROGRAM_DIRECTORIES)):
        for name in _listed(directory):
            path = f"{directory}/{name}"
            if (is_php(name) or is_fpm(name)) and os.access(path, os.X_OK) and Path(path).is_file():
                real = os.path.realpath(path)
                by_file[real] = min(by_file.get(real, path), path, key=_plainness)
    for path in sorted(by_file.values()):
        yield path, Sapi.FPM if is_fpm(path) else Sapi.CLI


def _plainness(path: str) -> tuple[int, bool, str]:
    return len(Path(path).name), not path.startswith("/usr/"), path  # /sbin is a link to /usr/sbin nowadays


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory) if directory.startswith("/") else []
    except OSError:
        return []


# --- one set-up -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which PHP, as it would be started."""

    root: Root
    sapi: Sapi
    binary: str
    options: tuple[str, ...]
    environment: Mapping[str, str] | None
    cwd: str | None
    ids: tuple[int, int] | None
    docroot: str | None = None  # of php -S
    guess: tuple[Version | None, Xdebug] = (None, Xdebug())  # what is known of a PHP that cannot be asked


@dataclass(slots=True)
class _Files:
    """Ini files read so far."""

    directives: list[Directive] = field(default_factory=list)
    modes: dict[str, FileMode] = field(default_factory=dict)


def _ask(asked: _Asked) -> Told | str:
    environment = asked.environment
    if environment is None:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    cwd = asked.cwd if asked.cwd is not None and Path(asked.cwd).is_dir() else None
    return ask((asked.binary, *asked.options), environment, cwd, asked.ids)


def _setup(title: str, asked: _Asked, told: Told | str, fpm_config: str | None, unread: list[Unread]) -> Setup:
    root, environment = asked.root, asked.environment or {}
    if isinstance(told, str):
        unread.append(Unread(f"the settings in force of {title}", told, ""))
        ini_files, ini_directory = usual_files(root, asked.sapi, asked.binary, asked.options, environment), ""
    else:
        ini_files, ini_directory = told.files, told.ini_directory
    read = _Files()
    for path in ini_files:
        _read_ini(root, path, environment, Origin.INI, read, unread)
    read.directives += _defined(asked.options, environment)
    pools: tuple[Pool, ...] = ()
    if asked.sapi is Sapi.FPM:
        main = fpm_config or _fpm_main(root, ini_directory)
        if main is None:
            unread.append(Unread(f"the pools of {title}", "no php-fpm.conf was found"))
        else:
            lines, missed = read_fpm(root, main, environment)
            unread += missed
            pools = tuple(replace(pool, account=_account(pool)) for pool in pools_of(lines))
            read.directives += php_settings(lines)
            read.modes |= file_modes(root, {pool.place.file for pool in pools})
    web = web_lines(root) if asked.sapi in (Sapi.FPM, Sapi.APACHE) else ()
    docroots = tuple(dict.fromkeys(line.value for line in web if line.kind is WebKind.ROOT))
    docroots += (asked.docroot,) if asked.docroot else ()
    if asked.sapi in (Sapi.FPM, Sapi.APACHE):  # php -S reads no .user.ini
        for docroot in docroots:
            path = f"{docroot.rstrip('/')}/.user.ini"
            if docroot.startswith("/") and root.exists(path):
                _read_ini(root, path, environment, Origin.USER_INI, read, unread)
    kind, origin = (WebKind.MODULE, Origin.MODULE) if asked.sapi is Sapi.APACHE else (WebKind.PARAMETER, Origin.WEB)
    sent = [Directive(line.name, line.value, line.place, origin) for line in web if line.kind is kind]
    read.modes |= file_modes(root, {line.place.file for line in sent})
    read.directives += sent
    setup = Setup(
        title=title,
        sapi=asked.sapi,
        binary=asked.binary,
        php=asked.guess[0] or _guessed_version(asked.binary, ini_files) if isinstance(told, str) else told.version,
        in_force=None if isinstance(told, str) else told.in_force,
        extensions=frozenset() if isinstance(told, str) else told.extensions,
        xdebug=asked.guess[1] if isinstance(told, str) else told.xdebug,
        directives=tuple(read.directives),
        files=read.modes,
        environment=asked.environment,
        pools=pools,
        web=tuple(line for line in web if line.kind not in (WebKind.ROOT, WebKind.PARAMETER, WebKind.MODULE)),
        docroots=docroots,
        missing_extensions=tuple(_missing_extensions(root, read.directives, told)),
        ptrace_scope=_ptrace_scope(),
        unread=tuple(unread),
    )
    return replace(setup, outputs=tuple(outputs(setup, root, asked.ids)))


def _read_ini(
    root: Root, path: str, environment: Mapping[str, str], origin: Origin, read: _Files, unread: list[Unread]
) -> None:
    try:
        text = root.text(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        unread.append(Unread(path, why, "run the harness as root"))
        return
    read.directives += parse_ini(text, path, environment, origin)
    read.modes |= file_modes(root, (path,))


def _defined(options: Sequence[str], environment: Mapping[str, str]) -> Iterator[Directive]:
    command = parse_command(("php", *options))
    for option in () if command is None else command.options:
        if option.letter == "d" and option.value:
            text = option.value if "=" in option.value else f"{option.value}=1"
            for found in parse_ini(text, "-d on the command line", environment, Origin.OPTION):
                yield replace(found, place=Place(found.place.file))


def usual_files(
    root: Root, sapi: Sapi, binary: str, options: Sequence[str], environment: Mapping[str, str]
) -> tuple[str, ...]:
    """The ini files of a PHP that cannot be asked, from its options, its environment and the usual places."""
    command = parse_command(("php", *options))
    given = None if command is None else next((o.value for o in reversed(command.options) if o.letter == "c"), None)
    none = command is not None and any(option.letter == "n" for option in command.options)
    if none:
        return ()
    usual_directories: list[str] = []
    version = re.search(r"(\d+\.\d+)\Z", binary)
    for usual in _USUAL_INI:
        pattern = usual if version is None else usual.replace("php/*", f"php/{version[1]}")
        usual_directories += root.matching(pattern.format(sapi=_DEBIAN_SAPI[sapi]))
    main = None
    for directory in (*(path for path in (given, environment.get("PHPRC")) if path), *usual_directories):
        path = directory if directory.endswith(".ini") else f"{directory}/php.ini"
        if root.exists(path):
            main = path
            break
    home = next((d for d in usual_directories if root.exists(f"{d}/{_USUAL_SCAN.get(d, 'conf.d')}")), None)
    built_in = "" if home is None else f"{home}/{_USUAL_SCAN.get(home, 'conf.d')}"
    scan = environment.get("PHP_INI_SCAN_DIR", built_in)
    files = [] if main is None else [main]
    for directory in scan.split(":") if scan else ():  # empty as a whole: none at all
        place = directory or built_in
        files += [f"{place}/{name}" for name in root.names(place) if name.endswith(".ini")] if place else []
    return tuple(files)


def _guessed_version(binary: str, files: Sequence[str]) -> tuple[int, int] | None:
    named = re.search(r"(\d+\.\d+)\Z", binary)
    texts = [named[1]] if named is not None else [m[1] for path in files if (m := re.search(r"/php/(\d+\.\d+)/", path))]
    return version_of(texts[0]) if texts else None


def _fpm_main(root: Root, ini_directory: str) -> str | None:
    candidates = [path.format(ini=ini_directory) for path in _FPM_CONFIGS if ini_directory or "{ini}" not in path]
    return next((os.path.normpath(path) for path in candidates if root.exists(path)), None)


def _account(pool: Pool) -> Owner | None:
    user, group = pool.setting("user"), pool.setting("group")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        gid = entry.pw_gid
        if group:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError, OverflowError):
        return None
    return Owner(entry.pw_name, entry.pw_uid, gid)


def _missing_extensions(root: Root, directives: Sequence[Directive], told: Told | str) -> Iterator[Directive]:
    """Lines that load a file that is not there. PHP tries NAME and NAME.so in extension_dir."""
    directory = "" if isinstance(told, str) else told.in_force.get("extension_dir", "")
    for directive in directives:
        if directive.name not in ("extension", "zend_extension") or not directive.value:
            continue
        value = directive.value
        if not value.startswith("/"):
            if not directory.startswith("/"):
                continue
            value = f"{directory}/{value}"
        if not any(root.exists(path) for path in (value, f"{value}.so")):
            yield directive


def _ptrace_scope() -> int | None:
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return None
