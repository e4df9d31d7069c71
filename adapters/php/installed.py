"""Which PHP, php-fpm and nginx this machine has, and how they are configured. Looks, changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import TargetError

_SYSTEM_PATH = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
)  # Debian hides sbin from users
_FPM_NAME = re.compile(r"php-fpm-?(\d+\.?\d+)?\Z")
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class PhpBuild:
    """What one PHP binary says about itself under the configuration it would run with (``-i``).

    ``xdebug`` is the version of a loaded Xdebug. ``directives`` holds the master values of php.ini settings, "" for unset.
    """

    binary: str
    version: str
    xdebug: str | None
    directives: Mapping[str, str]

    @property
    def minor(self) -> str:
        """``8.2`` of ``8.2.36``."""
        return ".".join(self.version.split(".")[:2])


def find_program(name: str) -> str | None:
    """Absolute path of a program in PATH or in the system directories; None when it is not there."""
    return shutil.which(name) or shutil.which(name, path=":".join(_SYSTEM_PATH))


def find_fpm() -> str | None:
    """The php-fpm that fits the ``php`` in PATH, else the newest; None when there is none."""
    found: dict[str, str] = {}
    for directory in (*os.environ.get("PATH", "").split(":"), *_SYSTEM_PATH):
        if not directory.startswith("/"):
            continue
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            path = f"{directory}/{name}"
            if _FPM_NAME.match(name) and os.access(path, os.X_OK):
                found.setdefault(name, path)
    if not found:
        return None
    php = find_program("php")
    wanted = "" if php is None else _link_version(php)
    return max(found.values(), key=lambda path: (bool(wanted) and path.endswith(wanted), _version_in_name(path)))


def _link_version(php: str) -> str:
    """``8.2`` when ``php`` is (a link to) ``php8.2``; else ""."""
    match = re.search(r"php(\d+\.\d+)\Z", os.path.realpath(php))
    return match[1] if match else ""


def _version_in_name(path: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", Path(path).name))


def inspect_php(
    command: Sequence[str], env: Mapping[str, str | None] | None = None, cwd: Path | None = None
) -> PhpBuild:
    """Run ``command -i`` (a binary with options such as -n, -c or -d) and read the answer.

    ``env`` changes this process's environment, None removes a variable. ``cwd`` is what relative paths are relative to.

    Answers are kept for this process, because each look costs a PHP start. Raises TargetError when it is not a PHP.
    """
    return _inspect(tuple(command), tuple(sorted((env or {}).items())), cwd)


@lru_cache(maxsize=64)
def _inspect(command: tuple[str, ...], changes: tuple[tuple[str, str | None], ...], cwd: Path | None) -> PhpBuild:
    env = dict(os.environ)
    for name, value in changes:
        env.pop(name, None)
        if value is not None:
            env[name] = value
    try:
        done = subprocess.run(
            [*command, "-i"], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(
            f"cannot run {command[0]}: {error}", hint="is PHP installed, and is this its path?"
        ) from error
    build = parse_phpinfo(command[0], done.stdout.decode(errors="replace"))
    if build is None:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
        raise TargetError(f"{command[0]} does not answer like PHP: {said}", hint="is this its path?")
    return build


def parse_phpinfo(binary: str, text: str) -> PhpBuild | None:
    """The text form of phpinfo(), as `php -i` and `php-fpm -i` print it. Pure."""
    version = re.search(r"^PHP Version => (\S+)", text, re.MULTILINE)
    if version is None:
        return None
    xdebug = re.search(r"^\s*with Xdebug v([0-9][^,\s]*),", text, re.MULTILINE)
    directives = {
        match[1]: "" if match[2] == "no value" else match[2]
        for match in re.finditer(r"^([a-z][A-Za-z0-9_.]*) => .* => (.*)$", text, re.MULTILINE)
    }
    return PhpBuild(binary, version[1], xdebug[1] if xdebug else None, directives)


XDEBUG_EXTENSION: tuple[str, ...] = ("-d", "zend_extension=xdebug.so")


def with_xdebug(
    command: Sequence[str], env: Mapping[str, str | None] | None = None, cwd: Path | None = None
) -> tuple[PhpBuild, bool] | None:
    """The build with Xdebug in it, and whether it had to be loaded by hand; None when there is no Xdebug for it.

    Loading it twice makes PHP complain at every start, so a configuration that already loads it must be left alone.
    """
    plain = inspect_php(command, env, cwd)
    if plain.xdebug is not None:
        return plain, False
    loaded = inspect_php((*command, *XDEBUG_EXTENSION), env, cwd)
    return (loaded, True) if loaded.xdebug is not None else None


def xdebug_package(build: PhpBuild) -> str:
    """How to install Xdebug for this PHP on Debian and Ubuntu, as a sentence."""
    return f"apt-get install php{build.minor}-xdebug   (elsewhere: pecl install xdebug)"
