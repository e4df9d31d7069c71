"""The functions that the scenario wants watched line by line, found in the target; shared by the tools that do so."""

import inspect
import json
import os
import sys
from types import CodeType

from . import settings
from .results import ToolError, describe

EVENTS_CAP = 200_000  # a second or two; a hot loop must not run into the server's time-out
CAPPED = "stopped after %d line events; the rest of the request is not in the figures" % EVENTS_CAP


class Functions:
    """Those named in HARNESS_FUNCTIONS; ``problems`` lists those that cannot be watched. ToolError when there are none.

    ``names``: code object -> its name in the scenario. ``owners``: the same and all code nested in it -> its outermost code.
    """

    def __init__(self, tool):
        specs = json.loads(settings.text("FUNCTIONS") or "[]")
        if not specs:
            raise ToolError("the scenario names no function for %s (functions: [package.module:name])" % tool)
        self.problems: "list[str]" = []
        self.names: "dict[CodeType, str]" = {}
        self.owners: "dict[CodeType, CodeType]" = {}
        for spec in specs:
            try:
                code = resolve(spec)
            except Exception as error:
                self.problems.append(describe(error))
                continue
            self.names.setdefault(code, spec)
            for nested in _with_nested(code):
                self.owners.setdefault(nested, code)
        if not self.names:
            raise ToolError("; ".join(self.problems))


def resolve(spec):
    """The code object of ``package.module:Qual.name``; decorators that name what they wrap are looked through."""
    module_name, colon, qualified = spec.partition(":")
    if not colon or not module_name or not qualified:
        raise ToolError("%r is not of the form package.module:function or package.module:Class.method" % spec)
    found = _module(module_name)
    for part in qualified.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ToolError("%s: %s has no attribute %r" % (spec, module_name, part)) from None
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(getattr(found, "__func__", found))
    code = getattr(found, "__code__", None)
    if code is None:
        raise ToolError("%s is not a Python function" % spec)
    if not os.path.exists(code.co_filename):
        raise ToolError("%s: its source file %s cannot be found" % (spec, code.co_filename))
    return code


def _module(name):
    if name in sys.modules:
        return sys.modules[name]
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None) or ""
    spec = getattr(main, "__spec__", None)
    # Importing the program itself once more under its other name would run it twice.
    if getattr(spec, "name", None) == name or os.path.splitext(os.path.basename(file))[0] == name:
        return main
    try:
        return __import__(name, fromlist=["_"])
    except Exception as error:
        raise ToolError("cannot import %s in the target: %s" % (name, describe(error))) from None


def _with_nested(code):
    """A code object and those of the functions, comprehensions and classes defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)
