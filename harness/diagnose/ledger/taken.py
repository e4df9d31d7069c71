"""What the allocators of one process say they took from the kernel, and what of it is in use.

Two ways lead to the same numbers: read from outside, which is of the instant of the sweep and comes first, and told by an
agent (docs/outside.md, docs/python.md, docs/php.md). Each allocator is taken from one of them as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Values = Mapping[str, int | None]

OUTSIDE, AGENT, BOTH = "outside", "agent", "both"
PYMALLOC, ZEND, GLIBC, JEMALLOC, TCMALLOC = "pymalloc", "zend", "glibc", "jemalloc", "tcmalloc"
_LARGE_ARENA_BYTES = 1024 * 1024
_SMALL_POOL_BYTES, _LARGE_POOL_BYTES = 4096, 16384


class Claim(NamedTuple):
    """Memory of one allocator in one kind of mappings, bytes. ``committed``: the most of it that can be in memory.

    ``counted``: that is what is in memory, page by page.
    """

    allocator: str
    live: int
    committed: int
    counted: bool = False


class Account(NamedTuple):
    """One allocator: bytes in use, bytes taken from the kernel, who says so, and where they lie: in anonymous mappings, in the
    arenas of threads among them, and in ``[heap]`` (None: not told apart from the first). ``untouched``: resident bytes in places
    that it has never used."""

    name: str
    live: int
    committed: int
    source: str
    anonymous: Claim
    arenas: Claim | None = None
    heap: Claim | None = None
    untouched: int = 0


class Taken(NamedTuple):
    """The allocators of a process. ``needs_runtime``: the language's own should be there as well; ``no_pymalloc``: it is known
    to be switched off."""

    runtime: Account | None
    native: Account | None
    needs_runtime: bool
    no_pymalloc: bool

    @property
    def complete(self) -> bool:
        """Whether every allocator there can be is known."""
        return self.native is not None and (self.runtime is not None or not self.needs_runtime or self.no_pymalloc)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(a for a in (self.runtime, self.native) if a is not None)

    @property
    def source(self) -> str | None:
        sources = {a.source for a in self.accounts}
        return None if not sources else BOTH if len(sources) > 1 else sources.pop()


def taken_by(values: Values, runtime: str) -> Taken:
    """``runtime``: "python", "php" or "any", as in a run's manifest."""
    own = _pymalloc(values) or _zend(values)
    native = _glibc_outside(values) or _jemalloc(values) or _tcmalloc(values) or _glibc_agent(values)
    return Taken(own, native, runtime in {"python", "php"}, own is None and values.get("agent.python.blocks") == 0)


def _pymalloc(values: Values) -> Account | None:
    live, held = values.get("runtime.python.pymalloc.live"), values.get("runtime.python.pymalloc.held")
    if live is not None and held is not None:
        resident = values.get("runtime.python.pymalloc.resident")
        claim = (
            _claim(PYMALLOC, live, held)
            if resident is None
            else _claim(PYMALLOC, min(live, resident), min(resident, held), counted=True)
        )
        return Account(PYMALLOC, live, max(live, held), OUTSIDE, claim, untouched=_untouched(values, held, claim))
    live, held = values.get("agent.python.pymalloc.live"), values.get("agent.python.pymalloc.held")
    if live is not None and held is not None:
        return Account(PYMALLOC, live, max(live, held), AGENT, _claim(PYMALLOC, live, held))
    return None


def _untouched(values: Values, held: int, claim: Claim) -> int:
    """Pools are cut off an arena from its start; what lies behind the last was never touched, and is in memory only where a
    huge page reaches there. Sizes of arenas and pools: Objects/obmalloc.c, before 3.10 and since."""
    pools, arenas = values.get("runtime.python.pymalloc.pools"), values.get("runtime.python.arenas")
    if pools is None or not arenas or not claim.counted:
        return 0
    pool_bytes = _LARGE_POOL_BYTES if held // arenas >= _LARGE_ARENA_BYTES else _SMALL_POOL_BYTES
    return max(0, claim.committed - max(claim.live, pools * pool_bytes))


def _zend(values: Values) -> Account | None:
    """Chunks of 2 MiB and huge blocks, all from mmap(). Resident pages are counted, but not of chunks kept for later."""
    for prefix, source in (("runtime.php.heap.", OUTSIDE), ("agent.php.heap.", AGENT)):
        live, real = values.get(prefix + "size"), values.get(prefix + "real")
        if live is not None and real is not None:
            resident = values.get(prefix + "resident")
            claim = (
                _claim(ZEND, live, real) if resident is None else _claim(ZEND, min(live, resident), min(resident, real))
            )
            return Account(ZEND, live, max(live, real), source, claim)
    return None


def _glibc_outside(values: Values) -> Account | None:
    used, system = values.get("runtime.glibc.used"), values.get("runtime.glibc.system")
    mapped = values.get("runtime.glibc.mmapped")
    if used is None or system is None or mapped is None:
        return None
    main_used, main_free = values.get("runtime.glibc.used_arena.0"), values.get("runtime.glibc.free_arena.0")
    main = None if main_used is None or main_free is None else (main_used, main_used + main_free)
    return _glibc(used, system, mapped, main, OUTSIDE)


def _glibc_agent(values: Values) -> Account | None:
    used, system = values.get("agent.python.glibc.used"), values.get("agent.python.glibc.system")
    mapped = values.get("agent.python.glibc.mmapped")
    if used is None or system is None or mapped is None:
        return None
    main_system = values.get("agent.python.glibc.main_system")
    others_system, others_free = (
        values.get("agent.python.glibc.other_system"), values.get("agent.python.glibc.other_free"),
    )  # fmt: skip
    main = None
    if main_system is not None and others_system is not None and others_free is not None:
        main = (used - (others_system - others_free), main_system)
    return _glibc(used, system, mapped, main, AGENT)


def _glibc(used: int, system: int, mapped: int, main: tuple[int, int] | None, source: str) -> Account:
    """``main``: used and taken bytes of the main arena, which grows by brk(); arenas of threads and large blocks use mmap()."""
    live, committed = used + mapped, max(used, system) + mapped
    if main is None:
        return Account(GLIBC, live, committed, source, _claim(GLIBC, used + mapped, system + mapped))
    arenas = _claim(GLIBC, used - main[0], system - main[1])
    return Account(GLIBC, live, committed, source, _claim(GLIBC, mapped, mapped), arenas, _claim(GLIBC, *main))


def _jemalloc(values: Values) -> Account | None:
    """``resident`` counts pages that are mapped and in use or dirty: an upper bound of what is in memory."""
    live, resident = values.get("agent.python.jemalloc.allocated"), values.get("agent.python.jemalloc.resident")
    if live is None or resident is None:
        return None
    return Account(JEMALLOC, live, max(live, resident), AGENT, _claim(JEMALLOC, live, resident))


def _tcmalloc(values: Values) -> Account | None:
    live, heap = values.get("agent.python.tcmalloc.allocated"), values.get("agent.python.tcmalloc.heap")
    if live is None or heap is None:
        return None
    committed = heap - (values.get("agent.python.tcmalloc.unmapped") or 0)
    return Account(TCMALLOC, live, max(live, committed), AGENT, _claim(TCMALLOC, live, committed))


def _claim(name: str, live: int, committed: int, counted: bool = False) -> Claim:
    """What a target says of itself may be anything."""
    live = max(0, live)
    return Claim(name, live, max(live, committed), counted)
