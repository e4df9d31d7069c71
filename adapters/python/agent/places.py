"""Which function a line of source belongs to, by the functions that are loaded. Nothing is imported, read or run for it."""

import gc
from types import CodeType, FunctionType

_NAME_CAP = 200


def owners(places):
    """{(file, line): (code, "module:Qualified.name")} of the innermost named function around each place, where one is loaded.

    Comprehensions and lambdas belong to the function around them. What the collector has set aside (gc.freeze) is not seen.
    """
    wanted: "dict[str, set[int]]" = {}
    for file, line in places:
        wanted.setdefault(file, set()).add(line)
    known: "dict[str, list[tuple[int, CodeType, str]]]" = {file: [] for file in wanted}
    seen: "set[CodeType]" = set()
    for thing in gc.get_objects():
        if type(thing) is FunctionType:
            code = thing.__code__
            if code.co_filename in wanted and code not in seen:
                seen.add(code)
                name = "%s:%s" % (_text(thing.__globals__.get("__name__")), _qualified(thing, code))
                _add(known[code.co_filename], code, name)
    found: "dict[tuple[str, int], tuple[CodeType, str]]" = {}
    for file, lines in wanted.items():
        beginning_last = sorted(known[file], key=lambda each: each[0], reverse=True)
        for line in lines:
            for first, code, name in beginning_last:  # the one that begins last has it
                if first <= line <= _last_line(code):
                    found[file, line] = code, name
                    break
    return found


def names(places):
    """The same as rows [file, line, name] for a result."""
    return [[file, line, name] for (file, line), (_, name) in owners(places).items()]


def _add(known, code, name):
    """A function and those defined in it."""
    known.append((code.co_firstlineno, code, name))
    for each in code.co_consts:
        if type(each) is CodeType and not each.co_name.startswith("<"):
            _add(known, each, "%s.<locals>.%s" % (name, each.co_name))


def _qualified(function, code):
    """Its name with those of what it is in; a decorator may have given a function the name of another one."""
    name = getattr(code, "co_qualname", None)  # 3.11+
    if name is None:
        name = function.__qualname__
        if type(name) is not str or name.rpartition(".")[2] != code.co_name:
            name = code.co_name
    return _text(name)


def _last_line(code):
    """The last line of a function, with what is defined in it."""
    last = code.co_firstlineno
    if hasattr(code, "co_lines"):  # 3.10+
        last = max([last, *(line for _, _, line in code.co_lines() if line is not None)])
    else:
        line = last
        for step in code.co_lnotab[1::2]:
            line += step - 256 if step > 127 else step
            last = max(last, line)
    return max([last, *(_last_line(each) for each in code.co_consts if type(each) is CodeType)])


def _text(name):
    return name[:_NAME_CAP] if type(name) is str else ""
