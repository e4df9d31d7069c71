"""What nginx and Apache tell PHP, and what they log: the few lines of their configuration that matter here. Pure.

Sources: https://nginx.org/en/docs/ngx_core_module.html#include, https://httpd.apache.org/docs/2.4/mod/mod_log_config.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.php.inspection.ini_files import parse_ini
from adapters.php.inspection.model import Place, WebKind, WebLine

_TOKEN = re.compile(r"""(?P<comment>\#[^\n]*)|"(?P<double>(?:[^"\\]|\\.|\\\Z)*)(?:"|\Z)
                        |'(?P<single>(?:[^'\\]|\\.|\\\Z)*)(?:'|\Z)|(?P<end>[;{}])|(?P<word>[^\s;{}"']+)
                        |(?P<line>\n)""", re.VERBOSE | re.DOTALL)  # fmt: skip
_PHP_VALUES = ("PHP_VALUE", "PHP_ADMIN_VALUE")
_ARGUMENT = re.compile(r"\$arg_(XDEBUG_[A-Z]{1,16})\b", re.IGNORECASE)
_APACHE_PHP = ("php_value", "php_flag", "php_admin_value", "php_admin_flag")


@dataclass(frozen=True, slots=True)
class Statement:
    """A directive of nginx: its words, and the line of the first."""

    words: tuple[str, ...]
    line: int


def nginx_statements(text: str) -> Iterator[Statement]:
    """Directives and heads of blocks, in order."""
    words: list[str] = []
    number = start = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind in ("double", "single", "word"):
            start = start if words else number
            words.append(match[kind])
        elif kind == "end" and words:
            yield Statement(tuple(words), start)
            words = []
        number += match[0].count("\n")


def nginx_lines(text: str, file: str) -> tuple[tuple[WebLine, ...], tuple[str, ...]]:
    """What matters in one file, and the patterns of what it includes."""
    found: list[WebLine] = []
    included = []
    for statement in nginx_statements(text):
        words, place = statement.words, Place(file, statement.line)
        match words:
            case ("include", pattern, *_):
                included.append(pattern)
            case ("log_format", name, *parts):
                found.append(WebLine(WebKind.LOG_FORMAT, name, "".join(parts), place))
            case ("root", directory, *_):
                found.append(WebLine(WebKind.ROOT, "", directory, place))
            case ("fastcgi_param", name, value, *_) if name in _PHP_VALUES:
                found += _php_values(value, place)
        found += [WebLine(WebKind.ARGUMENT, m[1], "", place) for word in words for m in _ARGUMENT.finditer(word)]
    return tuple(found), tuple(included)


def apache_lines(text: str, file: str) -> tuple[tuple[WebLine, ...], tuple[str, ...]]:
    """The same of one file of Apache; a backslash at the end of a line continues it."""
    found: list[WebLine] = []
    included = []
    for number, line in _continued(text):
        words = [m["double"] or m["single"] or m["word"] or "" for m in _words(line)]
        place = Place(file, number)
        name = words[0].lower() if words else ""
        if name in ("include", "includeoptional") and len(words) > 1:
            included.append(words[1])
        elif name == "logformat" and len(words) > 1:
            found.append(WebLine(WebKind.LOG_FORMAT, words[2] if len(words) > 2 else "", words[1], place))
        elif name == "documentroot" and len(words) > 1:
            found.append(WebLine(WebKind.ROOT, "", words[1], place))
        elif name in _APACHE_PHP and len(words) > 2:
            found.append(WebLine(WebKind.MODULE, words[1], words[2], place))
        elif name in ("setenv", "proxyfcgisetenvif") and len(words) > 2:
            at = 1 if name == "setenv" else 2
            if words[at] in _PHP_VALUES and len(words) > at + 1:
                found += _php_values(words[at + 1], place)
    return tuple(found), tuple(included)


def _php_values(text: str, place: Place) -> list[WebLine]:
    """A PHP_VALUE parameter holds lines of ini text, in nginx often written with ``\\n``."""
    settings = parse_ini(text.replace("\\n", "\n"), place.file)
    return [WebLine(WebKind.PARAMETER, d.name, d.value, place) for d in settings]


def _words(line: str) -> Iterator[re.Match[str]]:
    pattern = (
        r""""(?P<double>(?:[^"\\]|\\.|\\\Z)*)(?:"|\Z)|'(?P<single>(?:[^'\\]|\\.|\\\Z)*)(?:'|\Z)|(?P<word>[^\s"']+)"""
    )
    return re.finditer(pattern, line)


def _continued(text: str) -> Iterator[tuple[int, str]]:
    start, held = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        start = start or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        if not (held + line).lstrip().startswith("#"):
            yield start, held + line
        start, held = 0, ""
