"""Lends the target a few packages from outside, by name, while a tool is being imported. The target's own copies win."""

import os
import sys
from importlib.machinery import PathFinder

NAMES = ("memory_profiler", "psutil")


class ToolFinder:
    """Last in ``sys.meta_path`` for as long as the ``with`` block lasts; answers for top-level `NAMES` only."""

    def __init__(self, directories, cache_tag, problem=""):
        self._directories = directories
        self._cache_tag = cache_tag
        self._problem = problem

    def find_spec(self, name, path=None, target=None):
        if path is not None or name not in NAMES:
            return None
        if self._problem:
            raise ImportError("%s is not installed in the target, and %s" % (name, self._problem), name=name)
        own = sys.implementation.cache_tag
        if self._directories and own != self._cache_tag:
            raise ImportError(
                "%s is not installed in the target (%s), and the copy at hand is for %s" % (name, own, self._cache_tag),
                name=name,
            )
        return PathFinder.find_spec(name, self._directories)

    def __enter__(self):
        sys.meta_path.append(self)
        return self

    def __exit__(self, *exc_info):
        sys.meta_path.remove(self)


def from_environment():
    """The finder that the harness has prepared for this launch."""
    directories = [entry for entry in os.environ.get("HARNESS_TOOLS", "").split(os.pathsep) if entry]
    return ToolFinder(directories, os.environ.get("HARNESS_TOOLS_TAG", ""), os.environ.get("HARNESS_TOOLS_PROBLEM", ""))
