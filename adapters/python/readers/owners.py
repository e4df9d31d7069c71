"""Whose a Python source file is, by where it lies."""

from __future__ import annotations

import re

from adapters.formats.origins import Place
from harness.model.profile import Owner

_PACKAGES = re.compile(r"/(?:site|dist)-packages/")
_STANDARD_LIBRARY = re.compile(r"/lib(?:64)?/python\d[^/]*/|/python\d+\.zip/")


def owner_of(place: Place) -> Owner | None:
    """None for what is no file of Python source: ``<string>``, ``<frozen importlib._bootstrap>``, native functions. A file
    without an ending is a program that starts an application, ``bin/gunicorn``."""
    file = place.file
    if not file or file.startswith("<") or "." not in file.rpartition("/")[2]:
        return None
    if not file.endswith((".py", ".pyw")):
        return None
    if _PACKAGES.search(file):
        return Owner.PACKAGE
    return Owner.RUNTIME if _STANDARD_LIBRARY.search(file) else Owner.APPLICATION
