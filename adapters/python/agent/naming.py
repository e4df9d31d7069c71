"""Names of objects and of the references between them. Never runs code of the application: no repr, no attribute access that a
class could answer, no comparison but by identity; and tells no value, only names of attributes and short keys.

To be used in a copy of the process (snapshot.py): looking at an instance's attributes makes its dictionary, which costs memory.
"""

import gc
import os
import sys
from _thread import _local as _thread_local
from collections import deque
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

NAME_CAP = 200
KEY_CAP = 80
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_type_module = type.__dict__["__module__"].__get__
_type_qualname = type.__dict__["__qualname__"].__get__
_type_dict = type.__dict__["__dict__"].__get__
_type_mro = type.__dict__["__mro__"].__get__
_SUSPENDED = ((GeneratorType, "gi_frame"), (CoroutineType, "cr_frame"), (AsyncGeneratorType, "ag_frame"))
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_OF_FUNCTIONS = ("__globals__", "__defaults__", "__kwdefaults__", "__dict__", "__closure__", "__annotations__")


def plain(text, cap=NAME_CAP):
    """The first characters of a str as an exact str; empty for anything else."""
    return str.__getitem__(text, slice(cap)) if issubclass(type(text), str) else ""


def module_of(kind):
    """The name of the module that a class says it is from; empty when it says none."""
    try:
        return plain(_type_module(kind))
    except Exception:  # deleted by the class's own body
        return ""


def type_name(kind):
    """``module.Qualified.name`` of a class; classes of `builtins` without the module."""
    module = module_of(kind)
    name = plain(_type_qualname(kind))
    return name if module in ("", "builtins") else ("%s.%s" % (module, name))[:NAME_CAP]


def is_kind(thing, kind):
    """isinstance that does not ask the thing: ``__class__`` may be a property. ``kind`` is one of the interpreter's."""
    return issubclass(type(thing), kind)


def label(thing):
    """What a thing is, for people."""
    kind = type(thing)
    if is_kind(thing, ModuleType):
        return "module %s" % plain((namespace(thing) or {}).get("__name__"))
    if is_kind(thing, type):
        return "class %s" % type_name(thing)
    if kind is FunctionType:
        return "function %s" % _dotted(thing.__module__, thing.__qualname__)
    if kind is MethodType:
        function = thing.__func__
        name = function.__qualname__ if type(function) is FunctionType else ""
        return ("method %s" % plain(name)).strip()
    if kind is FrameType:
        known = is_usable(thing)
        return (
            "frame of %s" % _dotted(dict.get(thing.f_globals, "__name__"), thing.f_code.co_name) if known else "frame"
        )
    if _frame_attribute(kind):
        return "%s %s" % (kind.__name__.replace("_", " "), plain(thing.__qualname__))
    name = type_name(kind)
    for container in _CONTAINERS:
        if is_kind(thing, container):
            return "%s of %d" % (name, container.__len__(thing))
    return name


def _frame_attribute(kind):
    return next((name for each, name in _SUSPENDED if kind is each), "")  # a dictionary would ask for the type's hash


def _dotted(module, name):
    return ".".join(filter(None, (plain(module), plain(name))))[:NAME_CAP]


def is_usable(frame):
    """Whether a frame may be looked into. From 3.11 on those of other threads point, in a copy, to memory that is gone."""
    if sys.version_info < (3, 11):
        return True
    mine: "FrameType | None" = sys._getframe()
    while mine is not None:
        if mine is frame:
            return True
        mine = mine.f_back
    return any(type(each) is CodeType for each in gc.get_referents(frame))  # it has its variables with it


def shape(thing):
    """What things have in common whose labels differ in their size only."""
    return type_name(type(thing)) if is_container(thing) else label(thing)


def is_container(thing):
    """Whether it is told apart by its size."""
    return any(is_kind(thing, container) for container in _CONTAINERS)


def namespace(thing):
    """The dictionary of a module's, class's or instance's own attributes; None where there is none."""
    try:
        if is_kind(thing, type):
            found = gc.get_referents(_type_dict(thing))[0]
        elif is_kind(thing, _thread_local):
            found = _thread_local.__getattribute__(thing, "__dict__")  # this thread's
        else:
            for kind in _type_mro(type(thing)):
                descriptor = _type_dict(kind).get("__dict__")
                if descriptor is not None:
                    break
            else:
                return None
            if type(descriptor) is not GetSetDescriptorType and not is_kind(thing, ModuleType):
                return None  # a property of the application's
            found = descriptor.__get__(thing)
    except Exception:
        return None
    return found if is_kind(found, dict) else None


def reference(holder, held):
    """(text, whether things differ in it only by position): by which attribute, key or index ``holder`` refers to ``held``."""
    if is_kind(holder, dict):
        return _key(holder, held), True
    for kind in (list, tuple, deque):
        if is_kind(holder, kind):
            position = next((n for n, each in enumerate(kind.__iter__(holder)) if each is held), None)
            return ("" if position is None else "[%d]" % position), True
    if is_kind(holder, set) or is_kind(holder, frozenset):
        return "a member", True
    return _attribute(holder, held), False


def _key(holder, held):
    for key, value in dict.items(holder):
        if value is held:
            return "[%s]" % key_text(key)
    return "a key"


def key_text(key):
    """A key as Python writes it where that is short and tells nothing but a str or an int; else its type."""
    kind = type(key)
    if kind is int and abs(key) < 10**20:
        return "%d" % key
    if kind is str and len(key) <= KEY_CAP:
        return ascii(key)
    return "<%s>" % type_name(kind)


def attribute_name(found, held):
    """The name under which a namespace has a thing, empty when it has not."""
    return next((plain(name, KEY_CAP) for name, value in dict.items(found) if value is held), "")


def _attribute(holder, held):
    kind = type(holder)
    if held is kind:
        return "__class__"
    if kind is CellType:
        return "cell_contents"
    try:
        if kind is FrameType:
            return attribute_name(dict(holder.f_locals), held) if is_usable(holder) else ""
        if _frame_attribute(kind):
            frame = getattr(holder, _frame_attribute(kind))
            return "" if frame is None else attribute_name(dict(frame.f_locals), held)
        if kind is FunctionType:
            return next((name for name in _OF_FUNCTIONS if getattr(holder, name) is held), "")
        if kind is MappingProxyType:
            return ""
    except Exception:
        return ""
    found = namespace(holder)
    if found is held:
        return "__dict__"
    return attribute_name(found or {}, held) or _slot(holder, held)


def _slot(holder, held):
    """Slots, and what C types show of their members."""
    for kind in _type_mro(type(holder)):
        for name, descriptor in _type_dict(kind).items():
            if type(descriptor) is MemberDescriptorType:
                try:
                    if descriptor.__get__(holder) is held:
                        return plain(name, KEY_CAP)
                except Exception:
                    continue
    return ""


def closure_name(function, cell):
    """The variable of a function's closure that a cell is."""
    for name, each in zip(function.__code__.co_freevars, function.__closure__ or ()):
        if each is cell:
            return name
    return ""


def module_items():
    """(name, module) of what is loaded, a stable list."""
    return [(plain(name), module) for name, module in list(dict.items(sys.modules))]


def is_foreign(module):
    """Whether a module is neither the interpreter's nor the standard library's: the application's, or of a package it uses."""
    if module == "__main__":
        return True
    file = plain(dict.get(namespace(dict.get(sys.modules, module)) or {}, "__file__"), 4096)
    if not file:
        return False
    return not file.startswith(_STANDARD_LIBRARY) or "-packages" + os.sep in file  # site- and dist-packages
