"""Whose a PHP source file is, and which calls load one, by their names as Xdebug writes them."""

from __future__ import annotations

from harness.model.profile import Owner

INTERNAL = "php:internal"
_LOADS = ("include::", "include_once::", "require::", "require_once::")


def owner_of(file: str) -> Owner:
    """Packages lie where Composer puts them."""
    if file == INTERNAL or not file:
        return Owner.RUNTIME
    return Owner.PACKAGE if "/vendor/" in file else Owner.APPLICATION


def loads(function: str) -> bool:
    """Whether this is a file that is loaded: what it leaves stays by design."""
    return function.startswith(_LOADS)
