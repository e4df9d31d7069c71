"""All specimens: every module in ``families`` has ``specimens()``, but for those whose names start with ``_``."""

from __future__ import annotations

import importlib
import pkgutil
from fnmatch import fnmatchcase

from . import families
from .model import Group, Specimen


def all_specimens() -> list[Specimen]:
    """Of all families, by name. ValueError: two have the same name."""
    found: dict[str, Specimen] = {}
    for module in sorted(i.name for i in pkgutil.iter_modules(families.__path__) if not i.name.startswith("_")):
        for specimen in importlib.import_module(f"{families.__name__}.{module}").specimens():
            if specimen.name in found:
                raise ValueError(f"two specimens are called {specimen.name}")
            found[specimen.name] = specimen
    return [found[name] for name in sorted(found)]


def chosen(group: Group | None = None, only: str | None = None, quick: bool = False) -> list[Specimen]:
    """Those of a group, those that the shell pattern fits (``*`` around it is not needed), the quick ones."""
    return [
        s for s in all_specimens()
        if (group is None or s.group is group)
        and (only is None or fnmatchcase(s.name, only) or only in s.name)
        and (not quick or s.quick)
    ]  # fmt: skip
