"""Text for php.ini, php-fpm and nginx configuration: quoting without surprises. Pure.

All three languages expand ``$`` inside double quotes and disagree about backslashes, so what cannot be written the same way
in each is refused instead of escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")
# Numbers, words and paths; E_ALL & ~E_NOTICE. Nothing else: "none x" and "^" are syntax errors, which end the whole file.
_TERM = r"~?(?:E_[A-Z_]+|[0-9]+)"
_BARE_VALUE = re.compile(rf"(?:[A-Za-z0-9_./:,-]*|{_TERM}(?: ?[&|^] ?{_TERM})*)\Z")
_UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f\"'\\$`]")


def ini_name(name: str) -> str:
    """A directive's name as it is; UsageError for text that is not one."""
    if not _NAME.match(name):
        raise UsageError(f"{name[:80]!r} is not the name of a php.ini setting")
    return name


def ini_value(value: str) -> str:
    """A value with the meaning it has in php.ini, quoted when a quote is needed; UsageError when no quoting can keep it."""
    if _BARE_VALUE.match(value):
        return value
    if re.search(r"[\x00-\x1f\x7f]", value) or ("'" in value and re.search(r'["\\$]', value)):
        raise UsageError(
            f"the php.ini value {value[:80]!r} cannot be written safely",
            hint="put it into a php.ini of your own and start PHP with -c",
        )
    # Between single quotes nothing at all is special except the quote itself.
    return f'"{value}"' if "'" in value else f"'{value}'"


def render_ini(settings: Mapping[str, str]) -> str:
    """An ini file with one directive a line."""
    return "".join(f"{ini_name(name)} = {ini_value(value)}\n" for name, value in settings.items())


def define_options(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The same settings as ``-d name=value`` arguments of php and php-fpm (which read the value as ini text)."""
    return tuple(part for name, value in settings.items() for part in ("-d", f"{ini_name(name)}={ini_value(value)}"))


def quoted_path(path: Path) -> str:
    """A path between double quotes for php-fpm and nginx; UsageError when it holds what they would interpret."""
    text = str(path)
    if _UNQUOTABLE.search(text):
        raise UsageError(
            f"the path {text!r} holds a character that php-fpm or nginx would interpret",
            hint="use a path without quotes, backslashes, dollar signs and control characters",
        )
    return f'"{text}"'
