"""In which module of the application lies what holds the survivors of a request, and which lines are of that module. Pure.

Tools that count allocations blame the line that asked for memory. Runtimes reuse what was freed without asking (CPython's free
lists), so part of what lives is counted at lines that had let go of it. What holds it is known from references, and has no such
error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.model.holding import first_own, is_own, largest_chain, own_names
from harness.model.profile import HolderChain, Origin, Profile

_KIND = re.compile(r"^(?:module|class|function|method|frame of) ")
_RUNNING = ("frame", "function ", "method ")
_LETTERS = 300


def holder_name(profiles: Sequence[Profile]) -> str:
    """The first holder of the application on the path to most of what is kept, as a dotted name (``shop.cache``,
    ``shop.orders.render``). Empty: none is known."""
    own = own_names(profiles)
    chain = largest_chain(profiles, own) if own else None
    return "" if chain is None else _dotted(chain.path[first_own(chain, own)].label)


def holding_variable(profiles: Sequence[Profile]) -> str:
    """The same with the name in it that leads on to what is kept, ``shop.orders.OrderFeed._orders``. Empty: none is known, or
    it is a running function, whose variables are gone when it ends."""
    own = own_names(profiles)
    chain = largest_chain(profiles, own) if own else None
    if chain is None:
        return ""
    holder = chain.path[first_own(chain, own)]
    if holder.label.startswith(_RUNNING):
        return ""
    via = holder.via[:_LETTERS]
    return f"{_dotted(holder.label)}.{via}" if via.isidentifier() else _dotted(holder.label)


def circle_name(profiles: Sequence[Profile]) -> str:
    """The same of the first type of the application in the circle of references that most garbage is in."""
    own = own_names(profiles)
    circle = largest_circle(profiles, own)
    labels = () if circle is None else (holder.label for holder in circle.path)
    return next((_dotted(label) for label in labels if is_own(label, own)), "")


def largest_circle(profiles: Sequence[Profile], own: frozenset[str]) -> HolderChain | None:
    """The circle of most objects, one of the application's types before others. ``own``: its names."""
    cycles = [c for p in profiles for c in p.cycles]
    return min(cycles, key=lambda c: (c.kind.partition(".")[0] not in own, -c.objects), default=None)


def of_module(origins: Sequence[Origin], name: str) -> list[Origin]:
    """The lines in the module of a holder: in the file that fits most of its name. None for an empty name."""
    known = {origin.file: _fit(origin, name) for origin in origins}
    best = max(known.values(), default=0)
    return [origin for origin in origins if best and known[origin.file] == best]


def _dotted(label: str) -> str:
    return _KIND.sub("", label[:_LETTERS])


def _fit(origin: Origin, name: str) -> int:
    """How many parts of a dotted name, from its start, are the module of a line; 0 where it is in another one."""
    wanted = name.split(".")
    module, colon, _ = origin.function.partition(":")
    if colon:
        parts = module.split(".")
        return len(parts) if wanted[: len(parts)] == parts else 0
    path = PurePosixPath(origin.file[-_LETTERS:])
    steps = path.parent.parts if path.stem == "__init__" else (*path.parent.parts, path.stem)
    return next((n for n in range(len(wanted), 0, -1) if steps[-n:] == tuple(wanted[:n])), 0)
