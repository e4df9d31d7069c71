"""Of many paths to what is still there, the one to show: what holds most, and what belongs to the application before the rest.

Nothing here knows a language but by where libraries are installed; without a profile that names the application's files nothing
is preferred by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from harness.model.profile import HolderChain, Profile

PREFERRED = 4  # times what is not of the application
_UNSEEN = "not to be seen"  # how adapters begin the label of a holder that they cannot look at
_KEPT_BY_TYPE = ("inuse_space", "buffers")
_LIBRARY = re.compile(r"^<|/(?:site-packages|dist-packages|vendor|node_modules)/|/lib(?:64)?/python\d[^/]*/")
_SCRIPT = frozenset({"__main__"})
_NAMES = re.compile(r"\w+")


def own_names(profiles: Iterable[Profile]) -> frozenset[str]:
    """Every folder and file name on the paths of the application's own files: its packages and modules are among them."""
    files = {
        file
        for profile in profiles
        for file in (*(line.file for line in profile.lines), *(frame.file for frame in profile.frames))
    }
    return frozenset(part for file in files if own_file(file) for part in _NAMES.findall(file))


def own_file(file: str) -> bool:
    """A source file outside all libraries; what has no suffix is a program that starts one, ``bin/gunicorn``."""
    return "." in file.rpartition("/")[2] and _LIBRARY.search(file) is None


def largest_chain(profiles: Sequence[Profile], own: frozenset[str]) -> HolderChain | None:
    """The path to most bytes, as far as their types' are known; None where nothing is held, or by no path of the application."""
    best: tuple[float, HolderChain] | None = None
    for profile in profiles:
        sizes = _bytes_by_kind(profile)
        for chain in profile.holders:
            if not chain.path or chain.objects <= 0:
                continue
            if own and not any(is_own(holder.label, own) for holder in chain.path):
                continue  # a server's or a library's own business
            weight = chain.objects * sizes.get(chain.kind, 1.0) * _preference(chain, own)
            if best is None or weight > best[0]:
                best = (weight, chain)
    return None if best is None else best[1]


def first_own(chain: HolderChain, own: frozenset[str]) -> int:
    """The number of the first holder that is of the application; 0 where none is."""
    return next((i for i, holder in enumerate(chain.path) if is_own(holder.label, own)), 0)


def is_unseen(label: str) -> bool:
    """Whether it is no holder that can be named, but that there is one: a variable of another thread, or C code."""
    return label.startswith(_UNSEEN)


def is_own(label: str, own: frozenset[str]) -> bool:
    """Whether a type, module, class, function or frame is of the application: ``shop.Order``, ``module shop``."""
    kind, _, name = label[:300].rpartition(" ")
    package = name.partition(".")[0]
    return kind in ("", "module", "class", "function", "method", "frame of") and (package in own or package in _SCRIPT)


def _bytes_by_kind(profile: Profile) -> Mapping[str, float]:
    """Bytes of one object of each kind, large strings it refers to included; at least 1."""
    names = [t.name for t in profile.value_types]
    counts = next((i for i, name in enumerate(names) if name in ("objects", "inuse_objects")), None)
    sizes = [i for i, name in enumerate(names) if name in _KEPT_BY_TYPE]
    if counts is None:
        return {}
    return {
        group.kind: max(1.0, sum(group.values[i] or 0 for i in sizes) / max(1, group.values[counts] or 0))
        for group in profile.objects
    }


def _preference(chain: HolderChain, own: frozenset[str]) -> float:
    root = chain.path[0].label
    lasting = root.startswith(("module ", "class ")) and (not own or is_own(root, own))
    return math.prod(PREFERRED for wanted in (lasting, is_own(chain.kind, own)) if wanted)
