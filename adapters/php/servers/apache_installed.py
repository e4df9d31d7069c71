"""Which Apache this machine has, and whether PHP can run inside it. Looks, changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.php.installed import find_program

_PROGRAMS = ("apache2", "httpd")
_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/libexec/apache2")
_MODULE = re.compile(r"mod_([a-z0-9_]+)\.so\Z")
_LIBRARY = re.compile(r"libphp([0-9.]*)\.so\Z")


@dataclass(frozen=True, slots=True)
class Apache:
    """``there``: names of the modules below ``modules``. ``library``: mod_php, None where it is not installed; ``version``: the
    PHP in it as its name says, "" where it does not."""

    binary: str
    modules: Path
    there: frozenset[str]
    library: Path | None
    version: str

    @property
    def configuration(self) -> tuple[tuple[str, ...], Mapping[str, str | None]]:
        """A command-line PHP of the same version with mod_php's configuration, for `inspect_php`: Apache itself cannot be asked.

        Debian has a directory for each way PHP runs; elsewhere they share one.
        """
        php = find_program(f"php{self.version}") or find_program("php") or "php"
        own = Path(f"/etc/php/{self.version}/apache2")
        if not self.version or not own.is_dir():
            return (php,), {}
        return (php, "-c", str(own / "php.ini")), {"PHP_INI_SCAN_DIR": str(own / "conf.d")}


def find_apache() -> Apache | None:
    """None when there is none. Of several mod_php the one of the ``php`` in PATH, else the newest."""
    binary = next((path for name in _PROGRAMS if (path := find_program(name)) is not None), None)
    modules = next((Path(directory) for directory in _MODULES if Path(directory).is_dir()), None)
    if binary is None or modules is None:
        return None
    names = os.listdir(modules)
    there = frozenset(match[1] for name in names if (match := _MODULE.match(name)) is not None)
    php = re.search(r"php([0-9.]+)\Z", os.path.realpath(find_program("php") or ""))
    libraries = {match[1]: modules / name for name in names if (match := _LIBRARY.match(name)) is not None}
    wanted = "" if php is None else php[1]
    version = wanted if wanted in libraries else max(libraries, key=_numbers, default="")
    return Apache(binary, modules, there, libraries.get(version), version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)
