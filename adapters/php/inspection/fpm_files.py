"""php-fpm's configuration: the main file, what it includes, and the pools in them.

Source: https://www.php.net/manual/en/install.fpm.configuration.php and sapi/fpm/fpm/fpm_conf.c
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.inspection.files import Root
from adapters.php.inspection.ini_files import ini_text
from adapters.php.inspection.model import Directive, Origin, Place, Pool, Unread

_SECTION = re.compile(r"\s*\[([^\]\n]{1,128})\]")
_LINE = re.compile(r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_.]*)(?:\[(?P<key>[^\]\n]*)\])?\s*=(?P<value>.*)\Z")
_PHP_LINES = ("php_value", "php_flag", "php_admin_value", "php_admin_flag")
_MOST_FILES = 256


@dataclass(frozen=True, slots=True)
class FpmLine:
    """``section``: "global" or a pool's name; ``key``: what stands in brackets behind the name, "" without."""

    section: str
    name: str
    key: str
    value: str
    place: Place


def parse_fpm(
    text: str, file: str, section: str = "global", environment: Mapping[str, str] | None = None
) -> Iterator[FpmLine]:
    """The lines of one file; ``section`` is the one that the including file is in. ``$pool`` is filled in. Pure."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith((";", "#")):
            continue
        head = _SECTION.match(line)
        if head is not None:
            section = head[1].strip()
            yield FpmLine(section, "", "", "", Place(file, number))
            continue
        match = _LINE.match(line)
        if match is not None:
            key = (match["key"] or "").strip().strip("\"'")
            value = ini_text(match["value"], environment or {}).replace("$pool", section)
            yield FpmLine(section, match["name"], key, value, Place(file, number))


def read_fpm(
    root: Root, main: str, environment: Mapping[str, str] | None = None
) -> tuple[tuple[FpmLine, ...], tuple[Unread, ...]]:
    """All lines in the order in which php-fpm reads them, and the files that could not be read."""
    lines: list[FpmLine] = []
    unread: list[Unread] = []
    seen: set[str] = set()

    def read(path: str, section: str, depth: int) -> None:
        if path in seen or len(seen) >= _MOST_FILES:
            return
        seen.add(path)
        try:
            text = root.text(path)
        except (OSError, ValueError) as error:
            unread.append(Unread(path, getattr(error, "strerror", None) or str(error), "run the harness as root"))
            return
        for line in parse_fpm(text, path, section, environment):
            lines.append(line)
            if line.name == "include" and depth:
                for included in _included(root, main, line.value):
                    read(included, line.section, depth - 1)

    read(main, "global", 5)
    return tuple(lines), tuple(unread)


def _included(root: Root, main: str, pattern: str) -> list[str]:
    """Files that an include means. A relative one is below the prefix of the build, which is a directory above the main file
    (/usr/local of /usr/local/etc/php-fpm.conf in the official image); with -p it may be the file's own."""
    if pattern.startswith("/"):
        return root.matching(pattern)
    return next((found for above in Path(main).parents if (found := root.matching(str(above / pattern)))), [])


def pools_of(lines: Sequence[FpmLine]) -> tuple[Pool, ...]:
    """The pools without their accounts, in order. A setting that is made twice has the later value. Pure."""
    pools: dict[str, Pool] = {}
    for line in lines:
        if line.section == "global":
            continue
        pool = pools.setdefault(line.section, Pool(line.section, line.place, {}, {}))
        if line.name == "env":
            pools[pool.name] = _with(pool, env={**pool.env, line.key: (line.value, line.place)})
        elif line.name and not line.key:
            pools[pool.name] = _with(pool, lines={**pool.lines, line.name: (line.value, line.place)})
    return tuple(pools.values())


def php_settings(lines: Sequence[FpmLine]) -> tuple[Directive, ...]:
    """What pools set in PHP; an administrator's value stands after an ordinary one, over which it wins. Pure."""
    found = [line for line in lines if line.name in _PHP_LINES and line.key and line.section != "global"]
    found.sort(key=lambda line: line.name.startswith("php_admin"))
    return tuple(Directive(line.key, line.value, line.place, Origin.POOL, line.section) for line in found)


def _with(pool: Pool, **changes: dict[str, tuple[str, Place]]) -> Pool:
    return Pool(
        pool.name, pool.place, changes.get("lines", dict(pool.lines)), changes.get("env", dict(pool.env)), pool.account
    )
