"""What the memory of one process consists of at one floor, to the byte.

The whole is PSS, and what is swapped out. Its parts::

    live          asked of an allocator and not given back, where it is in memory
    held          free, but kept by an allocator, where it is in memory
    other_native  anonymous memory that no allocator took: mmap() by libraries, generated code, .bss of images
    image         private copies of file pages: data and relocations of the program and its libraries
    files         pages of files
    shared        shared memory: opcache, APCu, memfd, /dev/shm; of each page the part that falls on one of those who map it
    stacks        of threads and of the program
    thp_slack     in memory only because a huge page reaches further than what was used
    swap          swapped out, whatever it is
    unexplained   the rest; below 0 where readings of different moments overlap

**In memory.** Allocators count bytes, the kernel counts pages; and a page that an allocator took may never have been touched,
be given back by a trim, or be swapped out. So allocators are looked for where their memory lies: glibc's main arena is the
``[heap]`` mapping, all else is in anonymous mappings. What is touched in each of the two is known. Where allocators took less,
the excess is nobody's: ``other_native``. Where they took more, some of that is not touched: free memory first, live memory only
if it must be, and pymalloc's, whose resident pages are counted, last.

**Proportional.** Pages that a worker shares with the master it was forked from count for a part only. Which of its bytes lie on
them is not known, so the parts of a mapping get of its PSS what they have of its touched pages. The sum is then right, and so
are the sizes; not so the slopes. Whether something grows is judged by the ``exact_*`` numbers: those of the allocators
themselves, which know no pages. ``exact_other`` is below 0 where allocators took what was never touched.

**Unknown** parts are None and counted as unexplained: all of the heaps where pages are shared and no mappings were read, what
is nobody's where an allocator is not known (docs/ledger.md).

Sources: Documentation/filesystems/proc.rst (smaps), mallinfo2(3), malloc_info(3), Objects/obmalloc.c, Zend/zend_alloc.c,
jemalloc(3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.diagnose.ledger.regions import Region, Share, share_out
from harness.diagnose.ledger.taken import Claim, Taken, taken_by

Values = Mapping[str, int | None]

SUMMANDS = (
    "live", "held", "other_native", "image", "files", "shared", "stacks", "thp_slack", "swap", "unexplained",
)  # fmt: skip
"""The fields of `Parts` that add up to ``pss``."""

_HUGE_PAGE_BYTES = 2 * 1024 * 1024
_STACK_IN_USE_BYTES = 256 * 1024  # of a huge page in a stack: more than a thread usually needs


def _names(field: str, *classes: str) -> tuple[str, ...]:
    return tuple(f"process.smaps.{name}.{field}" for name in classes)


# Classes of mappings: harness/sampling/sources/pid_smaps_classes.py
_ANONYMOUS_PSS = _names("pss", "heap", "anonymous", "reserved", "thread_stack", "main_stack")
_STACKS_PSS = _names("pss", "thread_stack", "main_stack")
_COPIES = _names("anonymous", "executable", "library", "data_file")
_FILES_PSS = _names("pss", "executable", "library", "data_file")
_FILES_RSS = _names("rss", "executable", "library", "data_file")
_SHARED_PSS = _names("pss", "memfd", "shm", "sysv", "shared_anonymous", "opcache_apcu")
_HUGE = _names("anon_huge", "heap", "anonymous", "jit", "thread_stack", "main_stack")
_HEAP, _ANONYMOUS, _ARENAS = (
    (f"process.smaps.{name}.rss", f"process.smaps.{name}.swap", f"process.smaps.{name}.pss")
    for name in ("heap", "anonymous", "malloc_arena")
)
_MAPPED = _ANONYMOUS[0]
_NOTHING: Mapping[str, int] = MappingProxyType({})


class Parts(NamedTuple):
    """Bytes, None = not known. ``pss`` is the whole, with ``swap``; the fields named in `SUMMANDS` add up to it.

    ``live`` = ``live_runtime`` + ``live_native``, ``held`` is the sum of ``held_by``, ``exact_committed`` = ``exact_live`` +
    ``exact_held``. The exact numbers need all allocators of the process; ``exact_live_runtime`` and ``exact_live_native`` only
    their own. ``anon_huge``: what is in huge pages, of which ``thp_slack`` is certainly not used. ``source``: who told about the
    allocators, "outside", "agent", or "both" for different ones.
    """

    pss: int | None
    live: int | None
    live_runtime: int | None
    live_native: int | None
    held: int | None
    held_by: Mapping[str, int]
    other_native: int | None
    image: int | None
    files: int | None
    shared: int | None
    stacks: int | None
    thp_slack: int | None
    swap: int | None
    unexplained: int | None
    exact_live: int | None
    exact_live_runtime: int | None
    exact_live_native: int | None
    exact_held: int | None
    exact_held_by: Mapping[str, int]
    exact_committed: int | None
    exact_other: int | None
    anon_huge: int | None
    source: str | None

    @property
    def explained_share(self) -> float | None:
        """What of the whole the named parts are, 0 to 1: parts that exceed the whole are as wrong as a gap."""
        if self.pss is None or self.unexplained is None or self.pss <= 0:
            return None
        return max(0.0, 1 - abs(self.unexplained) / self.pss)


_UNKNOWN: tuple[Any, ...] = (*[None] * 5, _NOTHING, *[None] * 8)  # the fields of `Parts` before ``exact_live``


class _Kernel(NamedTuple):
    """What the kernel says, bytes: PSS without what is swapped out, the kinds of pages in it, and what is swapped out."""

    pss: int | None
    anon: int | None
    files: int | None
    shared: int | None
    swap: int | None


class _Place(NamedTuple):
    """Mappings that allocators live in, and who lives there."""

    region: Region
    claims: Sequence[Claim]


class _InUse(NamedTuple):
    """The heaps shared out; bytes of PSS, None = not known."""

    live: int | None = None
    runtime: int | None = None
    native: int | None = None
    held: int | None = None
    held_by: Mapping[str, int] = _NOTHING
    rest: int | None = None
    slack: int = 0


def parts_of(values: Values, runtime: str) -> Parts:
    """The ledger of one process.

    ``values``: its metrics at one floor. ``runtime``: "python", "php" or "any"; it decides whose allocator must be known before
    memory that nobody took is called nobody's.
    """
    taken = taken_by(values, runtime)
    places = _places(values, taken) if _MAPPED in values else ()
    kernel = _kernel(values)
    exact = _exact(values, taken, places)
    if kernel.pss is None:
        return Parts(*_UNKNOWN, *exact)
    other = stacks = image = None
    files, shared = kernel.files, kernel.shared
    if places:
        use = _in_use(values, taken, places)
        slack = use.slack
        generated = _generated(values)
        other = (use.rest or 0) + generated if taken.complete else None
        stacks = _sum(values, _STACKS_PSS)
        huge = values.get("process.smaps.thread_stack.anon_huge")
        if huge:
            bloat = min(huge - huge // _HUGE_PAGE_BYTES * _STACK_IN_USE_BYTES, stacks)
            stacks, slack = stacks - bloat, slack + bloat
        image = _image(values, kernel, generated)
        if files is None:
            files, shared = _sum(values, _FILES_PSS) - image, _sum(values, _SHARED_PSS)
    else:
        use = _in_all(values, taken, kernel)
        slack = None
    whole = kernel.pss + (kernel.swap or 0)
    known = (use.live, use.held, other, image, files, shared, stacks, slack, kernel.swap)
    unexplained = whole - sum([part for part in known if part is not None])
    return Parts(
        whole, use.live, use.runtime, use.native, use.held, use.held_by, other, image, files, shared, stacks, slack, kernel.swap,
        unexplained, *exact,
    )  # fmt: skip


def _kernel(values: Values) -> _Kernel:
    """An agent tells the same of its own process where it cannot be looked at from outside, but for the kinds of file pages."""
    get = values.get
    pss = get("process.memory.pss")
    if pss is None:
        return _Kernel(get("agent.python.memory.pss"), get("agent.python.memory.pss_anon"), None, None, None)
    return _Kernel(
        pss,
        get("process.memory.pss_anon"),
        get("process.memory.pss_file"),
        get("process.memory.pss_shmem"),
        get("process.memory.swap_pss"),
    )


def _exact(values: Values, taken: Taken, places: Sequence[_Place]) -> tuple[Any, ...]:
    """The fields of `Parts` from ``exact_live`` on."""
    own, native = taken.runtime, taken.native
    of_runtime = own.live if own is not None else 0 if taken.no_pymalloc else None
    of_native = None if native is None else native.live
    huge = _sum(values, _HUGE) if places else values.get("process.memory.anon_huge")
    if not taken.complete:
        return None, of_runtime, of_native, None, _NOTHING, None, None, huge, taken.source
    accounts = taken.accounts
    live = (of_runtime or 0) + (of_native or 0)
    held_by = {account.name: account.committed - account.live for account in accounts}
    held = sum(held_by.values())
    other = _exact_other(values, places) if places else None
    return live, of_runtime, of_native, held, held_by, live + held, other, huge, taken.source


def _exact_other(values: Values, places: Sequence[_Place]) -> int:
    """Touched pages beyond what allocators can have in memory, without shares; generated code counts too. What malloc took for
    its arenas and did not touch hides nothing: nobody else is there."""
    other = values.get("process.smaps.jit.anonymous") or 0
    for number, (region, claims) in enumerate(places):
        excess = region.touched - sum([claim.committed for claim in claims])
        other += max(0, excess) if number else excess
    return other


def _places(values: Values, taken: Taken) -> Sequence[_Place]:
    """Anonymous mappings first. ``[heap]`` belongs to glibc's main arena, or to whoever is preloaded in its place."""
    heap, rest = _region(values, _HEAP), _region(values, _ANONYMOUS)
    claims = [account.anonymous for account in taken.accounts]
    native = taken.native
    if native is None or native.heap is None or native.arenas is None:
        return (_Place(Region(heap.touched + rest.touched, heap.pss + rest.pss), claims),)
    main = _Place(heap, (native.heap,))
    if _ARENAS[0] in values:
        arenas = _region(values, _ARENAS)
        if native.arenas.live <= arenas.touched <= rest.touched and arenas.pss <= rest.pss:
            others = Region(rest.touched - arenas.touched, rest.pss - arenas.pss)
            return _Place(others, claims), _Place(arenas, (native.arenas,)), main
    return _Place(rest, [*claims, native.arenas]), main


def _region(values: Values, names: tuple[str, str, str]) -> Region:
    rss, swap, pss = names
    get = values.get
    return Region((get(rss) or 0) + (get(swap) or 0), get(pss) or 0)


def _in_use(values: Values, taken: Taken, places: Sequence[_Place]) -> _InUse:
    """Heaps by the mappings that they lie in."""
    shares: list[Share] = []
    rest = 0
    for region, claims in places:
        found = share_out(region, claims)
        shares += found.of
        rest += found.rest
    return _summed(taken, shares, rest, _untouched(values, taken, places[0].region))


def _untouched(values: Values, taken: Taken, region: Region) -> int:
    """PSS of the language's heap that is there because of huge pages only."""
    own, huge = taken.runtime, values.get("process.smaps.anonymous.anon_huge")
    if own is None or not own.untouched or not huge or region.touched <= 0:
        return 0
    return min(own.untouched, huge) * region.pss // region.touched


def _in_all(values: Values, taken: Taken, kernel: _Kernel) -> _InUse:
    """Where no mappings were read, heaps are looked for in all anonymous memory, if no page of it is shared."""
    if kernel.anon is None or not taken.complete or values.get("process.memory.shared_dirty") != 0:
        return _InUse()
    claims = [
        c for account in taken.accounts for c in (account.anonymous, account.arenas, account.heap) if c is not None
    ]
    return _summed(taken, share_out(Region(kernel.anon + (kernel.swap or 0), kernel.anon), claims).of, None, 0)


def _summed(taken: Taken, shares: Sequence[Share], rest: int | None, untouched: int) -> _InUse:
    """``untouched`` bytes of what the language's heap holds free are nobody's use."""
    if not shares:
        return _InUse(rest=rest)
    live: dict[str, int] = {}
    held: dict[str, int] = {}
    for name, in_use, free in shares:
        live[name] = live.get(name, 0) + in_use
        held[name] = held.get(name, 0) + free
    own, native = taken.runtime, taken.native
    of_own, slack = 0 if taken.no_pymalloc else None, 0
    if own is not None:
        of_own = live[own.name]
        if untouched:
            slack = min(untouched, held[own.name])
            held[own.name] -= slack
    of_native = None if native is None else live[native.name]
    return _InUse(sum(live.values()), of_own, of_native, sum(held.values()), held, rest, slack)


def _generated(values: Values) -> int:
    """Anonymous pages of executable memory; what of it is a file's or shared counts there."""
    anonymous = values.get("process.smaps.jit.anonymous")
    rss, pss = values.get("process.smaps.jit.rss"), values.get("process.smaps.jit.pss")
    return min(anonymous, rss) * pss // rss if anonymous and rss and pss else 0


def _image(values: Values, kernel: _Kernel, generated: int) -> int:
    """Anonymous PSS that lies in no anonymous mapping; at most the private copies that were counted there, unshared."""
    copies = _sum(values, _COPIES)
    if kernel.anon is None:  # before Linux 5.3
        rss, pss = _sum(values, _FILES_RSS), _sum(values, _FILES_PSS)
        return copies * pss // rss if rss else 0
    return min(max(0, kernel.anon - _sum(values, _ANONYMOUS_PSS) - generated), copies)


def _sum(values: Values, names: tuple[str, ...]) -> int:
    """A class that a process does not have has nothing."""
    get = values.get
    return sum([get(name) or 0 for name in names])
