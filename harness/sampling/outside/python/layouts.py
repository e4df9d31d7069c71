"""Offsets of the fields used, for each build of CPython: ``layouts.jsonl``, written by ``.dev/layouts_python.py``.

Offsets change inside a minor version (3.13.0 to 3.13.5 moved ``gc.generations``), so a line is found by the size of
``_PyRuntime``, which the symbol table has, also in stripped files. From 3.13 on the target repeats most offsets itself
(``_Py_DebugOffsets`` at the start of ``_PyRuntime``, pycore_runtime.h) and has to agree.
"""

from __future__ import annotations

import json
import pkgutil
from typing import Dict, List, NamedTuple, Sequence

from ..refusal import Refused

FORMAT = 1
COMMAND = ".dev/layouts_python.py --update DIRECTORY_OF_ITS_HEADERS"
# Read where the line has them
OPTIONAL = frozenset(
    (
        "interpreter.obmalloc",
        "obmalloc.is_pointer",
        "obmalloc.arenas",
        "obmalloc.raw_blocks",
        "runtime.tracemalloc_tracing",
        "runtime.tracemalloc_traced",
    )
)
_SELF_DESCRIBING = 0x030D  # 3.13
_COOKIE = int.from_bytes(b"xdebugpy", "little")
DEBUG_WORDS = 128  # of _Py_DebugOffsets: more than any version has used of it here
_FREE_THREADED = 2  # word


class Layout(NamedTuple):
    """One build. Offsets in bytes by "structure.field", see ``.dev/layouts_python.c``."""

    version: str
    hexversion: int  # PY_VERSION_HEX
    runtime_bytes: int  # sizeof(_PyRuntime)
    gc_bytes: int  # sizeof(struct _gc_runtime_state)
    offsets: Dict[str, int]

    @property
    def minor(self) -> int:
        """Such as 0x030B."""
        return self.hexversion >> 16


def parse(data: bytes) -> List[Layout]:
    """The table. Raises ValueError for another format than ours."""
    header, *lines = data.decode().splitlines()
    if json.loads(header).get("format") != FORMAT:
        raise ValueError("layouts.jsonl has another format than this program reads")
    return [_layout(json.loads(line)) for line in lines]


def shipped() -> List[Layout]:
    """The table of this package; works in a zipped one too."""
    data = pkgutil.get_data(__package__ or "", "layouts.jsonl")
    if data is None:
        raise ValueError("layouts.jsonl is not where the package is")
    return parse(data)


def candidates(
    table: Sequence[Layout], minor: int | None, version: str, runtime_bytes: int, head: Sequence[int]
) -> List[Layout]:
    """The layouts a target may have, to be tried in this order; all of one minor version and all different.

    ``minor``: such as 0x030B, None when not known. ``head``: the first `DEBUG_WORDS` words of its ``_PyRuntime``.
    More than one only where the target describes itself and its size is not in the table. Raises Refused when there is none.
    """
    near = [layout for layout in table if minor is None or layout.minor == minor]
    fit = [layout for layout in near if layout.runtime_bytes == runtime_bytes]
    if not fit and minor is not None and minor >= _SELF_DESCRIBING:
        fit = [layout._replace(offsets=_proved(layout.offsets)) for layout in near]
    fit = [layout for layout in fit if layout.minor < _SELF_DESCRIBING or _agrees(layout, head)]
    if len({layout.minor for layout in fit}) != 1:
        raise Refused(
            "no layout for this build: version {}, sizeof(_PyRuntime) {}; in a checkout of harness, {} makes it".format(
                "unknown" if minor is None else "{}.{}".format(minor >> 8, minor & 255), runtime_bytes, COMMAND
            )
        )
    different: List[Layout] = []
    for layout in sorted(
        fit, key=lambda layout: layout.version != version
    ):  # named after its own version if that is there
        for position, other in enumerate(different):
            if _compatible(layout.offsets, other.offsets):  # lines made by an older program have fewer offsets
                different[position] = other._replace(offsets={**layout.offsets, **other.offsets})
                break
        else:
            different.append(layout)
    return different


def free_threaded(minor: int | None, head: Sequence[int]) -> bool:
    """Whether the target says that it is a build without the global lock. Raises Refused when it should tell and does not."""
    if minor is None or minor < _SELF_DESCRIBING:
        return False
    if len(head) <= _FREE_THREADED or head[0] != _COOKIE:
        raise Refused("CPython 3.13 or later without _Py_DebugOffsets")
    return head[_FREE_THREADED] != 0


def _agrees(layout: Layout, head: Sequence[int]) -> bool:
    repeated = [(k[len("debug.") :], v) for k, v in layout.offsets.items() if k.startswith("debug.")]
    for name, place in repeated:
        expected = layout.gc_bytes if name == "sizeof_gc" else layout.offsets[name]
        if place % 8 or place // 8 >= len(head) or head[place // 8] != expected:
            return False
    return bool(repeated)


def _compatible(some: Dict[str, int], others: Dict[str, int]) -> bool:
    return all(others.get(name, offset) == offset for name, offset in some.items())


def _proved(offsets: Dict[str, int]) -> Dict[str, int]:
    """Without those that neither the target repeats nor anything in it can prove."""
    return {name: offset for name, offset in offsets.items() if name not in OPTIONAL}


def _layout(fields: Dict[str, object]) -> Layout:
    numbers = {name: value for name, value in fields.items() if isinstance(value, int)}
    return Layout(
        str(fields["version"]),
        numbers.pop("hex"),
        numbers.pop("sizeof_runtime"),
        numbers.pop("sizeof_gc"),
        numbers,
    )
