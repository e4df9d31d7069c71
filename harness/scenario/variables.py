"""``${NAME}`` in the texts of a scenario.

A name is either captured from a response or an environment variable. Values are put in when a request is sent or a program
started, never before, so that nothing stored holds a secret; and in a single pass, so that what a target answered is never
read as a reference again. ``$${`` is the text ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from harness.errors import UsageError

T = TypeVar("T")
_TOKEN = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_ENVIRONMENT_STYLE = re.compile(r"[A-Z_][A-Z0-9_]*\Z", re.ASCII)
_EXCERPT = 24


def references(value: object) -> frozenset[str]:
    """The names referred to in a text, or in all texts of a JSON-like value (keys do not count)."""
    return frozenset(match[1] for text in _texts(value) for match in _TOKEN.finditer(text) if match[1])


def malformed(text: str) -> str | None:
    """The start of the first thing that begins like a reference and is none, such as ``${NAME:-default}``."""
    for match in _TOKEN.finditer(text):
        if match[0] == "${":
            return text[match.start() : match.start() + _EXCERPT].partition("}")[0]
    return None


def looks_like_environment(name: str) -> bool:
    """Whether a name is written as environment variables are: upper case."""
    return _ENVIRONMENT_STYLE.match(name) is not None


def resolve(value: T, environ: Mapping[str, str], extra_vars: Mapping[str, str] | None = None) -> T:
    """``value`` (a text or JSON-like data) with every reference replaced; ``extra_vars`` (captures) win over ``environ``.

    Raises UsageError for a name that has no value.
    """
    return cast("T", _resolve(value, {**environ, **(extra_vars or {})}))


def _resolve(value: object, variables: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return _TOKEN.sub(lambda match: _replacement(match, variables), value)
    if isinstance(value, Mapping):
        return {key: _resolve(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_resolve(item, variables) for item in value])
    return value


def _replacement(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name = match[1]
    if name is None:
        return "${"
    if name not in variables:
        raise UsageError(f"${{{name}}} has no value", hint=f"export {name}=... before the run, or write $${{{name}}}")
    return variables[name]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
