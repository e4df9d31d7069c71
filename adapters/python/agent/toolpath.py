"""Lends the target a few packages from outside, by name, while a tool is being imported. The target's own copies win."""

import json
import os
import sys
from importlib.machinery import PathFinder

from . import settings


class ToolFinder:
    """Last in ``sys.meta_path`` for as long as the ``with`` block lasts; answers for the tool's top-level names only."""

    def __init__(self, names, directories, cache_tag, problem=""):
        self._names = frozenset(names)
        self._directories = directories
        self._cache_tag = cache_tag
        self._problem = problem

    def find_spec(self, name, path=None, target=None):
        if path is not None or name not in self._names:
            return None
        if self._problem:
            raise ImportError("%s is not installed in the target, and %s" % (name, self._problem), name=name)
        own = sys.implementation.cache_tag
        if self._directories and own != self._cache_tag:
            raise ImportError(
                "%s is not installed in the target (%s), and the copy at hand is for %s" % (name, own, self._cache_tag),
                name=name,
            )
        found = PathFinder.find_spec(name, self._directories)
        if found is None:
            self._complain_of_closed(name)
        return found

    def _complain_of_closed(self, name):
        """Where this process may not look, the import system finds nothing and says no more."""
        for directory in self._directories:
            try:
                os.listdir(directory)
            except OSError as error:
                text = "%s is not installed in the target, and the copy in %s cannot be read by its user (%s)"
                raise ImportError(
                    text % (name, directory, error.strerror) + "; let XDG_CACHE_HOME name a directory that it can read",
                    name=name,
                ) from None

    def has(self, file):
        """Whether a module's file is one of those that are lent."""
        return any(file.startswith(os.path.join(directory, "")) for directory in self._directories)

    def __enter__(self):
        sys.meta_path.append(self)
        return self

    def __exit__(self, *exc_info):
        sys.meta_path.remove(self)


def lend(tool):
    """The finder that the harness has prepared for a tool of this launch; one that finds nothing when it prepared none."""
    entry = json.loads(settings.text("TOOLS") or "{}").get(tool, {})
    return ToolFinder(
        entry.get("names", ()), entry.get("directories", []), entry.get("tag", ""), entry.get("problem", "")
    )
