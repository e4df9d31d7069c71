"""``${NAME}`` in the strings of a scenario.

A name is either captured from a response by the request that uses it, or an environment variable. Values are put in when
a request is sent or a program started, never before, so that nothing stored holds a secret; and in a single pass, so that
what a target answered is never read as a reference again. ``$${NAME}`` is the text ``${NAME}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar, cast

from harness.errors import UsageError

T = TypeVar("T")
_REFERENCE = re.compile(r"\$(?P<escape>\$)?\{(?P<name>[^{}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_ENVIRONMENT_STYLE = re.compile(r"[A-Z_][A-Z0-9_]*\Z", re.ASCII)


def references(value: object) -> frozenset[str]:
    """The names referred to in a text, or in all texts of a JSON-like value (keys do not count)."""
    if isinstance(value, str):
        return frozenset(
            m["name"] for m in _REFERENCE.finditer(value) if not m["escape"] and _is_reference(m) and m["name"]
        )
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return frozenset().union(*(references(item) for item in value))
    return frozenset()


def malformed(text: str) -> str | None:
    """The first thing in ``text`` that starts like a reference and is none, such as ``${NAME:-default}``."""
    for match in _REFERENCE.finditer(text):
        if not match["escape"] and not _is_reference(match):
            return match[0]
    return None


def looks_like_environment(name: str) -> bool:
    """Whether a name is written as environment variables are: upper case."""
    return _ENVIRONMENT_STYLE.match(name) is not None


def resolve(value: T, environ: Mapping[str, str], extra_vars: Mapping[str, str] | None = None) -> T:
    """``value`` (a text or JSON-like data) with every reference replaced; ``extra_vars`` (captures) win over ``environ``.

    Raises UsageError for a name that has no value.
    """
    return cast("T", _resolve(value, environ, extra_vars or {}))


def _resolve(value: object, environ: Mapping[str, str], extra_vars: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return _resolve_text(value, environ, extra_vars)
    if isinstance(value, Mapping):
        return {key: _resolve(item, environ, extra_vars) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_resolve(item, environ, extra_vars) for item in value])
    return value


def _resolve_text(text: str, environ: Mapping[str, str], extra_vars: Mapping[str, str]) -> str:
    def put_in(match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        if not _is_reference(match):
            return match[0]
        name = match["name"]
        found = extra_vars.get(name, environ.get(name))
        if found is None:
            raise UsageError(f"${{{name}}} has no value", hint=f"set it in the environment: export {name}=...")
        return found

    return _REFERENCE.sub(put_in, text) if "${" in text else text


def _is_reference(match: re.Match[str]) -> bool:
    return match[0].endswith("}") and _NAME.match(match["name"]) is not None
