"""The functions that the scenario wants watched line by line, found in the target; shared by the tools that do so."""

import inspect
import json
import os
import sys
from types import CodeType, FunctionType

from . import places, settings
from .results import ToolError, describe

EVENTS_CAP = 200_000  # a second or two; a hot loop must not run into the server's time-out
_LOCALS = ".<locals>."
_SUGGESTIONS = 3
_DEPTH = 8  # of classes within classes that are looked at for suggestions
CAPPED = "stopped after %d line events; the rest of the request is not in the figures" % EVENTS_CAP


class Functions:
    """Those that the trigger names by a line in each (``at``: a JSON list of [file, line]), else those named in
    HARNESS_FUNCTIONS; ``problems`` lists those that cannot be watched. ToolError when there are none.

    ``names``: code object -> its name in the scenario. ``owners``: the same and all code nested in it -> its outermost code.
    """

    def __init__(self, tool, options):
        self.problems: "list[str]" = []
        self.names: "dict[CodeType, str]" = {}
        self.owners: "dict[CodeType, CodeType]" = {}
        if options.get("at"):
            self._find(json.loads(options["at"]))
        else:
            self._resolve(json.loads(settings.text("FUNCTIONS") or "[]"), tool)
        if not self.names:
            raise ToolError("; ".join(self.problems))

    def _find(self, wanted):
        """The functions around lines of source."""
        found = places.owners([(file, line) for file, line in wanted])
        for file, line in wanted:
            if (file, line) in found:
                self._watch(*found[file, line])
            else:
                self.problems.append("no function that is loaded has line %d of %s" % (line, file))

    def _resolve(self, specs, tool):
        if not specs:
            raise ToolError("the scenario names no function for %s (functions: [package.module:name])" % tool)
        for spec in specs:
            try:
                self._watch(resolve(spec), spec)
            except Exception as error:
                self.problems.append(describe(error))

    def _watch(self, code, name):
        self.names.setdefault(code, name)
        for nested in _with_nested(code):
            self.owners.setdefault(nested, code)


def resolve(spec):
    """The code object of ``package.module:Qual.name``; decorators that name what they wrap are looked through. What is defined
    in a function is named as Python does, ``create_app.<locals>.checkout``, and found without running that function."""
    module_name, colon, qualified = spec.partition(":")
    if not colon or not module_name or not qualified:
        raise ToolError("%r is not of the form package.module:function or package.module:Class.method" % spec)
    module = _module(module_name)
    outermost, *inner = qualified.split(_LOCALS)
    found = module
    for part in outermost.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            reason = "%s: %s has no attribute %r" % (spec, module_name, part)
            raise ToolError(reason + _suggestion(module, qualified)) from None
    code = _code(found)
    if code is None:
        raise ToolError("%s is not a Python function" % spec)
    for name in ".".join(inner).split(".") if inner else ():
        same = [each for each in _defined_in(code) if each.co_name == name]
        if not same:
            reason = "%s: %s defines no %r" % (spec, code.co_name, name)
            raise ToolError(reason + _suggestion(module, qualified))
        if len(same) > 1:
            lines = " and ".join(str(each.co_firstlineno) for each in same)
            raise ToolError("%s: %s defines %r more than once (lines %s)" % (spec, code.co_name, name, lines))
        code = same[0]
    if not os.path.exists(code.co_filename):
        raise ToolError("%s: its source file %s cannot be found" % (spec, code.co_filename))
    return code


def _code(found):
    if isinstance(found, property):
        found = found.fget
    return getattr(inspect.unwrap(getattr(found, "__func__", found)), "__code__", None)


def _defined_in(code):
    """Code of the functions and classes defined in a function or class body itself."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name.startswith(
                "<generic parameters of"
            ):  # 3.12+: ``def f[T]()`` is made by a function of its own
                yield from _defined_in(constant)
            else:
                yield constant


def _suggestion(module, qualified):
    """What of that module may have been meant, in words; empty when nothing is near."""
    import difflib

    try:
        names = _names_in(vars(module), module.__name__, "")
    except Exception:
        return ""
    last = {name.rpartition(".")[2] for name in names}
    near = difflib.get_close_matches(qualified.rpartition(".")[2], last, _SUGGESTIONS, 0.75)
    found = sorted((name for name in names if name.rpartition(".")[2] in near), key=lambda name: (len(name), name))
    return "; did you mean %s?" % " or ".join(found[:_SUGGESTIONS]) if found else ""


def _names_in(namespace, module_name, prefix):
    """Names under which `resolve` finds the functions of a module's or a class's namespace, those defined in functions too."""
    names: "list[str]" = []
    for name, value in list(namespace.items()):
        if isinstance(value, type) and value.__module__ == module_name and prefix.count(".") < _DEPTH:
            names += _names_in(dict(vars(value)), module_name, "%s%s." % (prefix, name))
        elif isinstance(value, (FunctionType, staticmethod, classmethod, property)):
            code = _code(value)
            if code is not None and (prefix or getattr(value, "__module__", module_name) == module_name):
                names.append(prefix + name)
                names += _names_within(code, prefix + name + _LOCALS)
    return names


def _names_within(code, prefix):
    for each in _defined_in(code):
        if not each.co_name.startswith("<"):
            is_function = each.co_flags & inspect.CO_NEWLOCALS
            if is_function:
                yield prefix + each.co_name
            yield from _names_within(each, prefix + each.co_name + (_LOCALS if is_function else "."))


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
