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

from collections.abc import Mapping
from typing import NamedTuple

from harness.diagnose.ledger.regions import Region, Share, share_out
from harness.diagnose.ledger.taken import Taken, taken_by

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
_TOUCHED = _names("rss", "heap", "anonymous") + _names("swap", "heap", "anonymous")


class Parts(NamedTuple):
    """Bytes, None = not known. ``pss`` is the whole, with ``swap``; the fields named in `SUMMANDS` add up to it.

    ``live`` = ``live_runtime`` + ``live_native``, ``held`` is the sum of ``held_by``, ``exact_committed`` = ``exact_live`` +
    ``exact_held``. The exact numbers need all allocators of the process; ``exact_live_runtime`` and ``exact_live_native`` only
    their own. ``anon_huge``: what is in huge pages, of which ``thp_slack`` is certainly not used. ``source``: who told about the
    allocators, "outside", "agent", or "both" for different ones.
    """

    pss: int | None = None
    live: int | None = None
    live_runtime: int | None = None
    live_native: int | None = None
    held: int | None = None
    held_by: Mapping[str, int] = {}
    other_native: int | None = None
    image: int | None = None
    files: int | None = None
    shared: int | None = None
    stacks: int | None = None
    thp_slack: int | None = None
    swap: int | None = None
    unexplained: int | None = None
    exact_live: int | None = None
    exact_live_runtime: int | None = None
    exact_live_native: int | None = None
    exact_held: int | None = None
    exact_held_by: Mapping[str, int] = {}
    exact_committed: int | None = None
    exact_other: int | None = None
    anon_huge: int | None = None
    source: str | None = None

    @property
    def explained_share(self) -> float | None:
        """What of the whole the named parts are, 0 to 1: parts that exceed the whole are as wrong as a gap."""
        if self.pss is None or self.unexplained is None or self.pss <= 0:
            return None
        return max(0.0, 1 - abs(self.unexplained) / self.pss)


class _Kernel(NamedTuple):
    """What the kernel says, bytes: PSS without what is swapped out, the kinds of pages in it, and what is swapped out."""

    pss: int | None
    anon: int | None
    files: int | None
    shared: int | None
    swap: int | None


class _Heaps(NamedTuple):
    """Memory in which allocators live, shared out; bytes of PSS. ``rest`` and ``slack`` None: cannot be told."""

    of: tuple[Share, ...]
    rest: int | None
    slack: int | None


def parts_of(values: Values, runtime: str) -> Parts:
    """The ledger of one process.

    ``values``: its metrics at one floor. ``runtime``: "python", "php" or "any"; it decides whose allocator must be known before
    memory that nobody took is called nobody's.
    """
    taken = taken_by(values, runtime)
    exact = _exact(values, taken)
    kernel = _kernel(values)
    if kernel.pss is None:
        return exact
    mapped = "process.smaps.anonymous.pss" in values
    heaps = _by_mappings(values, taken) if mapped else _of_all(values, taken, kernel)
    live, live_runtime, live_native, held, held_by = _in_use(taken, heaps)
    other = stacks = image = None
    files, shared, slack = kernel.files, kernel.shared, heaps.slack
    if mapped:
        generated = _generated(values)
        other = (heaps.rest or 0) + generated if taken.complete else None
        stacks, bloat = _stacks(values)
        slack = (slack or 0) + bloat
        image = _image(values, kernel, generated)
        if files is None:
            files, shared = _sum(values, _FILES_PSS) - image, _sum(values, _SHARED_PSS)
    whole = kernel.pss + (kernel.swap or 0)
    known = (live, held, other, image, files, shared, stacks, slack, kernel.swap)
    return exact._replace(
        pss=whole,
        live=live,
        live_runtime=live_runtime,
        live_native=live_native,
        held=held,
        held_by=held_by,
        other_native=other,
        image=image,
        files=files,
        shared=shared,
        stacks=stacks,
        thp_slack=slack,
        swap=kernel.swap,
        unexplained=whole - sum(part for part in known if part is not None),
        anon_huge=_sum(values, _HUGE) if mapped else values.get("process.memory.anon_huge"),
    )


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


def _exact(values: Values, taken: Taken) -> Parts:
    own, native = taken.runtime, taken.native
    exact_runtime = own.live if own is not None else 0 if taken.no_pymalloc else None
    parts = Parts(
        exact_live_runtime=exact_runtime,
        exact_live_native=None if native is None else native.live,
        source=taken.source,
    )
    if not taken.complete:
        return parts
    held_by = {a.name: a.committed - a.live for a in taken.accounts}
    return parts._replace(
        exact_live=sum(a.live for a in taken.accounts),
        exact_held=sum(held_by.values()),
        exact_held_by=held_by,
        exact_committed=sum(a.committed for a in taken.accounts),
        exact_other=_exact_other(values, taken),
    )


def _exact_other(values: Values, taken: Taken) -> int | None:
    """Touched pages of the heaps beyond what allocators can have in memory, without shares; generated code counts too."""
    if "process.smaps.anonymous.rss" not in values:
        return None
    claimed = sum(c.committed for a in taken.accounts for c in (*a.anonymous, a.in_heap) if c is not None)
    return _sum(values, _TOUCHED) + (values.get("process.smaps.jit.anonymous") or 0) - claimed


def _by_mappings(values: Values, taken: Taken) -> _Heaps:
    """``[heap]`` belongs to glibc's main arena, and to whoever is preloaded in its place."""
    heap, rest = _region(values, "heap"), _region(values, "anonymous")
    claims = [claim for account in taken.accounts for claim in account.anonymous]
    in_heap = [account.in_heap for account in taken.accounts if account.in_heap is not None]
    if in_heap:
        shares = [share_out(heap, in_heap), share_out(rest, claims)]
    else:
        shares = [share_out(Region(heap.touched + rest.touched, heap.pss + rest.pss), claims)]
    of = tuple(share for found in shares for share in found.of)
    of, slack = _without_slack(values, taken, of, rest)
    return _Heaps(of, sum(found.rest for found in shares), slack)


def _without_slack(
    values: Values, taken: Taken, of: tuple[Share, ...], region: Region
) -> tuple[tuple[Share, ...], int]:
    """Places of a heap that it never used are in memory only where a huge page reaches there."""
    untouched = 0 if taken.runtime is None else taken.runtime.untouched
    huge = values.get("process.smaps.anonymous.anon_huge") or 0
    if not untouched or not huge or taken.runtime is None:
        return of, 0
    slack = min(untouched, huge) * region.pss // region.touched if region.touched > 0 else 0
    changed = []
    taken_off = 0
    for share in of:
        part = min(slack, share.held) if share.allocator == taken.runtime.name else 0
        taken_off += part
        changed.append(share._replace(held=share.held - part))
    return tuple(changed), taken_off


def _of_all(values: Values, taken: Taken, kernel: _Kernel) -> _Heaps:
    """Without mappings, heaps are looked for in all anonymous memory, where no page of it is shared."""
    shares_pages = values.get("process.memory.shared_dirty") != 0
    if kernel.anon is None or shares_pages or not taken.complete:
        return _Heaps((), None, None)
    claims = [
        claim for account in taken.accounts for claim in (*account.anonymous, account.in_heap) if claim is not None
    ]
    found = share_out(Region(kernel.anon + (kernel.swap or 0), kernel.anon), claims)
    return _Heaps(found.of, None, None)


def _in_use(taken: Taken, heaps: _Heaps) -> tuple[int | None, int | None, int | None, int | None, Mapping[str, int]]:
    """(live, of the runtime, of malloc, held, held by allocator)."""
    if not heaps.of:
        return None, None, None, None, {}
    live: dict[str, int] = {}
    held: dict[str, int] = {}
    for share in heaps.of:
        live[share.allocator] = live.get(share.allocator, 0) + share.live
        held[share.allocator] = held.get(share.allocator, 0) + share.held
    own = 0 if taken.no_pymalloc else None if taken.runtime is None else live[taken.runtime.name]
    native = None if taken.native is None else live[taken.native.name]
    return sum(live.values()), own, native, sum(held.values()), held


def _region(values: Values, name: str) -> Region:
    rss, swap = values.get(f"process.smaps.{name}.rss"), values.get(f"process.smaps.{name}.swap")
    return Region((rss or 0) + (swap or 0), values.get(f"process.smaps.{name}.pss") or 0)


def _generated(values: Values) -> int:
    """Anonymous pages of executable memory; what of it is a file's or shared counts there."""
    anonymous, rss = values.get("process.smaps.jit.anonymous"), values.get("process.smaps.jit.rss")
    pss = values.get("process.smaps.jit.pss")
    return min(anonymous, rss) * pss // rss if anonymous and rss and pss else 0


def _image(values: Values, kernel: _Kernel, generated: int) -> int:
    """Anonymous PSS that lies in no anonymous mapping; at most the private copies that were counted there, unshared."""
    copies = _sum(values, _COPIES)
    if kernel.anon is None:  # before Linux 5.3
        rss, pss = _sum(values, _FILES_RSS), _sum(values, _FILES_PSS)
        return copies * pss // rss if rss else 0
    return min(max(0, kernel.anon - _sum(values, _ANONYMOUS_PSS) - generated), copies)


def _stacks(values: Values) -> tuple[int, int]:
    """(stacks, what of them is in memory because of huge pages only)."""
    stacks = _sum(values, _STACKS_PSS)
    huge = values.get("process.smaps.thread_stack.anon_huge") or 0
    bloat = min(huge - huge // _HUGE_PAGE_BYTES * _STACK_IN_USE_BYTES, stacks)
    return stacks - bloat, bloat


def _sum(values: Values, names: tuple[str, ...]) -> int:
    """A class that a process does not have has nothing."""
    get = values.get
    return sum([get(name) or 0 for name in names])
