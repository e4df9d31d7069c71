"""The configuration files of nginx and Apache: of the servers that run, and at the usual places."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from adapters.php.inspection.files import Root
from adapters.php.inspection.model import WebLine
from adapters.php.inspection.web_files import apache_lines, nginx_lines

_NGINX = ("/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/etc/nginx/nginx.conf")
_APACHE = ("/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "/usr/local/apache2/conf/httpd.conf")
_RUNNING_NGINX = re.compile(r"nginx: master process \S*nginx\b.*? -c (?P<file>/\S+)")
_RUNNING_APACHE = re.compile(r"\S*\b(?:apache2|httpd)\b.*? -f (?P<file>/\S+)")
_MOST_FILES = 256
_Parse = Callable[[str, str], tuple[tuple[WebLine, ...], tuple[str, ...]]]


def web_lines(root: Root) -> tuple[WebLine, ...]:
    """What matters of all that can be read; files that may not be read are passed over, as they may be of no concern."""
    found: list[WebLine] = []
    seen: set[str] = set()
    for main in dict.fromkeys((*_started_with(root, _RUNNING_NGINX), *_NGINX)):
        _read(root, main, main.rpartition("/")[0], nginx_lines, seen, found)
    for main in dict.fromkeys((*_started_with(root, _RUNNING_APACHE), *_APACHE)):
        base = main.rpartition("/")[0]
        _read(root, main, base.removesuffix("/conf") if "httpd" in main else base, apache_lines, seen, found)
    return tuple(found)


def _read(root: Root, path: str, base: str, parse: _Parse, seen: set[str], found: list[WebLine]) -> None:
    if path in seen or len(seen) >= _MOST_FILES:
        return
    seen.add(path)
    try:
        lines, included = parse(root.text(path), path)
    except (OSError, ValueError):
        return
    found += lines
    for pattern in included:
        for name in root.matching(pattern if pattern.startswith("/") else f"{base}/{pattern}"):
            _read(root, name, base, parse, seen, found)


def _started_with(root: Root, title: re.Pattern[str]) -> list[str]:
    """Configuration files that servers of this machine were started with."""
    found: list[str] = []
    if root.prefix:
        return found
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                match = title.match(os.fsdecode(file.read(4096)).replace("\0", " "))
        except OSError:
            continue
        if match is not None:
            found.append(match["file"])
    return found
