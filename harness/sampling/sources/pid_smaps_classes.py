"""``/proc/PID/smaps``: what a process's memory is made of, mapping by mapping, summed by class.

::

    7f77908ce000-7f77908f0000 rw-p 00000000 00:00 0
    Size:                136 kB
    Rss:                   4 kB
    ...
    VmFlags: rd wr mr mw me ac sd

A page-table walk as dear as the rollup, plus the text: 0.8 to 1.1 KB a mapping. It is read in pieces, so a process with 65,530
mappings (70 MB of text) takes no more memory than one with 50. Needs ptrace access to the process.

Classes, decided by what the kernel says of a mapping; where that is a habit of programs rather than a fact, it says so:

=================  ==================================================================================================
heap               ``[heap]``: what brk() gave
anonymous          private memory without a file: malloc's mmaps and arenas, pymalloc, the Zend heap; also .bss of images
reserved           the same with no access at all: guards and unused ends of arenas. Addresses, hardly ever memory
thread_stack       stacks of threads and fibers. Named so by the C library (glibc 2.41+ when told to), PHP or an old kernel,
                   else by shape: anonymous ``rw-p``, 12 kB or more, directly above an anonymous ``---p`` of 4 to 64 kB (the
                   guard), not beginning at a multiple of 64 MiB (those are malloc arenas, whose neighbour may end so). Where
                   one of these is named or marked ``nh`` (MAP_STACK, as glibc maps stacks, since 6.7), the others are
                   anonymous: other libraries fence their memory too. Before 6.7 and with musl only the shape speaks.
                   Guards made with MADV_GUARD_INSTALL (glibc 2.42 on Linux 6.13+) are no mappings: such stacks are anonymous
main_stack         ``[stack]``
executable         the image at the lowest address: a file that is also mapped ``x``
library            every other file that is also mapped ``x``, or is called ``*.so``, ``*.so.1``. Its writable pages are
                   private copies, which count under ``anonymous`` bytes
data_file          any other file
memfd              ``/memfd:``
shm                below ``/dev/shm/``: POSIX shared memory
sysv               ``/SYSV``: shmget()
shared_anonymous   shared memory without a file: ``/dev/zero (deleted)`` and ``[anon_shmem:``
opcache_apcu       in processes that map opcache.so or apcu.so: shared_anonymous, and the files these two use
                   (``/tmp/apc.XXXXXX``, ``/tmp/.ZendSem.XXXXXX``, ``ZendAccelerator``). php-fpm's score board is in it too.
                   Where opcache is built into PHP (8.5), its segment stays shared_anonymous unless apcu.so is mapped
jit                executable memory without an image: anonymous, shared (PHP's JIT buffer is a part of opcache's segment), a
                   memfd or shm file mapped ``x`` anywhere (its writable alias counts too), libffi's files
vdso               code and data of the kernel: ``[vdso]``, ``[vvar]``, ...
other              what has no name we know, and devices: io_uring, aio, perf, ``/dev/dri``
=================  ==================================================================================================

Beside the classes, what of anonymous has the shape of glibc's arenas of threads: ``malloc_arena``, ``rw-p`` from a multiple of
64 MiB on, with the rest up to the next one ``---p``, or nothing left and marked ``nr`` (MAP_NORESERVE, as glibc maps them).

Source: Documentation/filesystems/proc.rst (3.1, smaps), fs/proc/task_mmu.c, nptl/allocatestack.c and malloc/arena.c of glibc.
"""

from __future__ import annotations

import functools
import re
from typing import Dict, List, NamedTuple, Pattern, Sequence, Tuple

from ..reading import process_directory
from ..redact import printable
from .numbers import bounded, times
from .pieces import read_pieces
from .system import Values

PREFIX = "process.smaps."
CLASSES = (
    "heap", "anonymous", "reserved", "thread_stack", "main_stack", "executable", "library", "data_file", "memfd", "shm", "sysv",
    "shared_anonymous", "opcache_apcu", "jit", "vdso", "other",
)  # fmt: skip
LARGEST_FILES = 8

_MOST_FILES = 4096  # files told apart; those beyond are put into a class by the mapping at hand alone
_NAME_CAP = 256
_ARENA_BYTES = 64 << 20  # HEAP_MAX_SIZE of glibc on 64-bit machines
_LARGEST_GUARD_KB = 64
_SMALLEST_STACK_KB = 12  # PTHREAD_STACK_MIN with its guard taken off
_STACK_FLAG = b" nh"  # no huge pages
_ARENA_FLAG = b" nr"  # MAP_NORESERVE
_FENCED = "fenced"  # shaped like a thread's stack; what it is shows when all mappings are known
_DELETED = b" (deleted)"

# In the order of the kernel, which has been the same since 4.4. What is not here is skipped.
_FIELDS = (
    b"Size", b"Rss", b"Pss", b"Private_Clean", b"Private_Dirty", b"Anonymous", b"AnonHugePages", b"Private_Hugetlb", b"Swap",
)  # fmt: skip
_HEADER = rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+ [0-9]+) *([^\n]*)\n"
_PSS = 1 + _FIELDS.index(b"Pss")
_KILOBYTES = rb"[ \t]+([0-9]{1,15}) kB\n"

# Names of fields begin with a capital and line feeds in paths are escaped, so a line that begins like this is a mapping's first.
_ENTRY = re.compile(_HEADER + rb"((?:(?![0-9a-f])[^\n]*\n)*)")
_FIELD = re.compile(rb"^([A-Za-z_]{1,32}):[ \t]+([0-9]{1,15}) kB$", re.MULTILINE)
_LINE_NAME = re.compile(rb"^([A-Za-z_]{1,32}):", re.MULTILINE)
_MOST_LINES = 64
_FLAGS = re.compile(rb"^VmFlags: ([^\n]*)$", re.MULTILINE)
_START = re.compile(rb"^[0-9a-f]", re.MULTILINE)
_LAST_START = re.compile(rb".*\n(?=[0-9a-f])", re.DOTALL)

_SHARED_OBJECT = re.compile(rb"\.so(?:\.[0-9][0-9A-Za-z]*)*\Z")
_NAMELESS = b"00:00 0"  # device and inode of what is no file
_STACK_NAME = re.compile(rb"\[stack:|\[anon:[^\]]*stack")
_KERNEL_NAMES = (b"[vdso]", b"[vvar", b"[vsyscall]", b"[vectors]", b"[sigpage]", b"[uprobes]")
# What a file is by its name; the first that matches. "php" and "file" are decided when all mappings are known.
_FILE_KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (rb"\[anon_shmem:|/dev/zero \(deleted\)\Z", "shared_anonymous"),
        (rb".*/(?:\.ZendSem|apc(?:\.shm)?)\.[A-Za-z0-9]{6}(?: \(deleted\))?\Z|.*/ZendAccelerator\.[^/]*\Z", "php"),
        (rb"/memfd:", "memfd"),
        (rb"/dev/shm/", "shm"),
        (rb"/SYSV[0-9a-f]{8}", "sysv"),
        (rb"/dev/zero\Z", "anonymous"),
        (rb"/anon_hugepage", "anonymous"),  # shared_anonymous if the mapping is shared
        (rb".*/ffi[A-Za-z0-9]{6} \(deleted\)\Z", "jit"),
        (rb"/dev/hugepages/", "file"),
        (rb"/dev/|/\[aio\]|[^/]", "other"),
        (rb"", "file"),
    )
)
_WRITABLE_CODE = frozenset(("memfd", "shm"))  # mapped executable anywhere: generated code

_ALLOCATOR = re.compile(rb"/lib(jemalloc|tcmalloc|mimalloc)[^/]*\Z")
_NAMES = (
    ("libc", re.compile(rb"/libc(?:\.so\.6|-2\.[0-9]+\.so)\Z|/(?:ld-musl-|libc\.musl-)[^/]*\.so\.1\Z")),
    ("libpython", re.compile(rb"/libpython[0-9][^/]*\Z")),
    ("libphp", re.compile(rb"/libphp[0-9.]*\.so[^/]*\Z")),
    ("opcache", re.compile(rb"/opcache\.so\Z")),
    ("apcu", re.compile(rb"/apcu\.so\Z")),
)


class Mapped(NamedTuple):
    """Sums over the mappings of one class; bytes, None = this kernel does not say."""

    mappings: int
    size: int | None  # of address space
    rss: int | None
    pss: int | None
    uss: int | None  # private pages, hugetlb included
    swap: int | None
    anon_huge: int | None
    anonymous: int | None  # pages that belong to no file: in file mappings, private copies


class MappedFile(NamedTuple):
    """One data file: path as printable text of at most 256 characters, and what its mappings hold in bytes."""

    name: str
    size: int | None
    rss: int | None
    pss: int | None


class MappedNames(NamedTuple):
    """What the names of mapped images tell; paths, None = not mapped. Statically linked parts have no name."""

    allocator: str | None  # jemalloc, tcmalloc, mimalloc, glibc, musl: the first of these that is mapped, used or not
    libc: str | None
    libpython: str | None
    libphp: str | None
    opcache: str | None
    apcu: str | None


class SmapsClasses(NamedTuple):
    """All of one process's mappings. ``classes`` holds those of `CLASSES` that the process has, ``arenas`` is a part of one."""

    classes: Dict[str, Mapped]
    data_files: Tuple[MappedFile, ...]  # those with the largest Pss, largest first
    names: MappedNames
    arenas: Mapped | None  # None: there are none

    def values(self) -> Values:
        """``process.smaps.<class>.count`` and, in bytes, ``.size .rss .pss .uss .swap .anon_huge .anonymous``."""
        found: Values = {}
        kinds = self.classes if self.arenas is None else {**self.classes, "malloc_arena": self.arenas}
        for kind, sums in kinds.items():
            for field, value in zip(("count", *Mapped._fields[1:]), sums):
                if value is not None:
                    found["{}{}.{}".format(PREFIX, kind, field)] = value
        return found


Sums = List[int]  # mappings, then the kilobytes of `_FIELDS`


def _nothing() -> Sums:
    return [0] * (1 + len(_FIELDS))


def _add(into: Sums, sums: Sums) -> None:
    for index, value in enumerate(sums):
        into[index] += value


class _File:
    """A mapped file, and what its mappings add up to."""

    __slots__ = ("executable", "kind", "name", "sums")

    def __init__(self, name: bytes, kind: str) -> None:
        self.name = name[: 4 * _NAME_CAP]
        self.kind = kind
        self.executable = False
        self.sums = _nothing()


class _Classifier:
    """Takes whole entries of smaps, in order; keeps sums."""

    def __init__(self) -> None:
        self._kinds: Dict[str, Sums] = {}
        self._files: Dict[bytes, _File] = {}
        self._program: _File | None = None
        self._absent: set[bytes] = set()  # fields that some entry did not have
        self._guard_end = b""
        self._arena: Tuple[bytes, Sums] | None = None  # end and sums of what may turn out to be one
        self._arenas = _nothing()
        self._names: Dict[str, str] = {}
        self._whole: Pattern[bytes] | None = None

    def add(self, data: bytes) -> None:
        """Entries laid out like the first are matched as a whole; any other is taken apart line by line."""
        whole = self._whole = self._whole or _entry_pattern(data)
        position = 0
        while position < len(data):
            entry = whole.match(data, position) if whole is not None else None
            if entry is not None:
                self._mapping(entry.groups())
                position = entry.end()
            else:
                position = self._add_by_line(data, position)

    def _add_by_line(self, data: bytes, position: int) -> int:
        entry = _ENTRY.match(data, position)
        if entry is None:  # torn: go on at the next one
            following = _START.search(data, position + 1)
            return len(data) if following is None else following.start()
        *header, body = entry.groups()
        fields, flags = dict(_FIELD.findall(body)), _FLAGS.search(body)
        self._absent.update(name for name in _FIELDS if name not in fields)
        values = (fields.get(name, b"0") for name in _FIELDS)
        self._mapping((*header, *values, flags.group(1) if flags is not None else b""))
        return entry.end()

    def _mapping(self, groups: Sequence[bytes]) -> None:
        start, end, access, identity, name, *fields, flags = groups
        if self._arena is not None:
            self._decide_arena(start, end, access)
        if identity == _NAMELESS and name[:1] != b"/":
            kind = self._named(access, name) if name else self._nameless(start, end, access, int(fields[0]), flags)
            sums = self._of_kind(kind)
        else:
            sums = self._of_file(access, identity, name)
        sums[0] += 1
        for index, field in enumerate(fields, 1):
            if field != b"0":
                sums[index] += int(field)
        if (
            start[-6:] == b"000000"
            and access == b"rw-p"
            and not int(start, 16) % _ARENA_BYTES
            and identity == _NAMELESS
        ):
            self._arena = end, [1, *map(int, fields)]
            if not int(end, 16) % _ARENA_BYTES and _ARENA_FLAG in flags:
                self._decide_arena(end, end, b"---p")  # all of it is in use

    def _decide_arena(self, start: bytes, end: bytes, access: bytes) -> None:
        """By the mapping that follows."""
        if self._arena is None:
            return
        ended, sums = self._arena
        self._arena = None
        if start == ended and access == b"---p" and int(end, 16) >= -(-int(ended, 16) // _ARENA_BYTES) * _ARENA_BYTES:
            _add(self._arenas, sums)

    def _nameless(self, start: bytes, end: bytes, access: bytes, size_kb: int, flags: bytes) -> str:
        if access == b"rw-p":
            if start != self._guard_end or size_kb < _SMALLEST_STACK_KB or not int(start, 16) % _ARENA_BYTES:
                return "anonymous"
            return "thread_stack" if _STACK_FLAG in flags else _FENCED
        if access == b"---p":
            if size_kb <= _LARGEST_GUARD_KB:
                self._guard_end = end
            return "reserved"
        return _by_access(access)

    def _named(self, access: bytes, name: bytes) -> str:
        if name == b"[heap]":
            return "heap"
        if name == b"[stack]":
            return "main_stack"
        if name.startswith(_KERNEL_NAMES):
            return "vdso"
        if access[:3] == b"---":
            return "reserved"
        if _STACK_NAME.match(name):
            return "thread_stack"
        return _by_access(access) if name.startswith(b"[anon:") else "other"

    def _of_kind(self, kind: str) -> Sums:
        sums = self._kinds.get(kind)
        if sums is None:
            sums = self._kinds[kind] = _nothing()
        return sums

    def _of_file(self, access: bytes, identity: bytes, name: bytes) -> Sums:
        key = identity if identity != _NAMELESS else name
        file = self._files.get(key)
        if file is None:
            file = self._new_file(access, name)
            if len(self._files) < _MOST_FILES:
                self._files[key] = file
            else:
                file.executable = access[2:3] == b"x"
                return self._of_kind(self._decided(file))
        if access[2:3] == b"x":
            if file.kind == "shared_anonymous":
                return self._of_kind("jit")
            file.executable = True
            if file.kind == "file" and self._program is None:
                self._program = file
        return file.sums

    def _new_file(self, access: bytes, name: bytes) -> _File:
        kind = next(kind for pattern, kind in _FILE_KINDS if pattern.match(name))
        if kind == "anonymous" and access[3:] == b"s":
            kind = "shared_anonymous"
        path = name[: -len(_DELETED)] if name.endswith(_DELETED) else name
        if kind == "file" and _SHARED_OBJECT.search(path):
            kind = "library"
            self._note(path)
        return _File(name, kind)

    def _note(self, path: bytes) -> None:
        allocator = _ALLOCATOR.search(path)
        if allocator is not None:
            self._names.setdefault("allocator", allocator.group(1).decode())
        for what, pattern in _NAMES:
            if pattern.search(path):
                self._names.setdefault(what, _shown(path))

    def _decided(self, file: _File) -> str:
        php = "opcache" in self._names or "apcu" in self._names
        if file.kind == "file":
            image = "executable" if file is self._program else "library"
            return image if file.executable else "data_file"
        if file.kind == "php":
            elsewhere = "shm" if file.name.startswith(b"/dev/shm/") else "data_file"
            return "opcache_apcu" if php else elsewhere
        if file.kind == "shared_anonymous":
            return "opcache_apcu" if php else "shared_anonymous"
        return "jit" if file.executable and file.kind in _WRITABLE_CODE else file.kind

    def result(self) -> SmapsClasses | None:
        """What has been found; None when that is nothing."""
        kinds = {kind: list(sums) for kind, sums in self._kinds.items()}
        if _FENCED in kinds:
            into = kinds.setdefault("anonymous" if "thread_stack" in kinds else "thread_stack", _nothing())
            _add(into, kinds.pop(_FENCED))
        data_files = []
        for file in self._files.values():
            if not file.sums[0]:
                continue  # all of it was generated code in a shared segment
            kind = self._decided(file)
            _add(kinds.setdefault(kind, _nothing()), file.sums)
            if kind == "data_file":
                data_files.append(file)
        if not kinds:
            return None
        data_files.sort(key=lambda file: -file.sums[_PSS])
        return SmapsClasses(
            classes={kind: self._mapped(kinds[kind]) for kind in CLASSES if kind in kinds},
            data_files=tuple(self._mapped_file(file) for file in data_files[:LARGEST_FILES]),
            names=self._mapped_names(),
            arenas=self._mapped(self._arenas) if self._arenas[0] else None,
        )

    def _mapped(self, sums: Sums) -> Mapped:
        of = {
            name: None if name in self._absent else times(kilobytes, 1024)
            for name, kilobytes in zip(_FIELDS, sums[1:])
        }  # fmt: skip
        clean, dirty = of[b"Private_Clean"], of[b"Private_Dirty"]
        return Mapped(
            mappings=sums[0],
            size=of[b"Size"],
            rss=of[b"Rss"],
            pss=of[b"Pss"],
            uss=None if clean is None or dirty is None else bounded(clean + dirty + (of[b"Private_Hugetlb"] or 0)),
            swap=of[b"Swap"],
            anon_huge=of[b"AnonHugePages"],
            anonymous=of[b"Anonymous"],
        )

    def _mapped_file(self, file: _File) -> MappedFile:
        sums = self._mapped(file.sums)
        return MappedFile(_shown(file.name), sums.size, sums.rss, sums.pss)

    def _mapped_names(self) -> MappedNames:
        names = dict(self._names)
        if "libc" in names:
            names.setdefault("allocator", "musl" if "musl" in names["libc"] else "glibc")
        return MappedNames(*(names.get(field) for field in MappedNames._fields))


def _by_access(access: bytes) -> str:
    """Memory without a file: executable, shared, or neither."""
    if access[2:3] == b"x":
        return "jit"
    return "shared_anonymous" if access[3:] == b"s" else "anonymous"


def _shown(path: bytes) -> str:
    """The kernel escapes line feeds in a path and nothing else."""
    return printable(path.decode("utf-8", "replace"))[:_NAME_CAP]


def _entry_pattern(data: bytes) -> Pattern[bytes] | None:
    """A pattern for all entries laid out like the first, or None for a layout that is not this kernel family's."""
    entry = _ENTRY.match(data)
    return None if entry is None else _pattern_of(tuple(_LINE_NAME.findall(entry.group(6))))


@functools.lru_cache(maxsize=8)
def _pattern_of(names: Tuple[bytes, ...]) -> Pattern[bytes] | None:
    wanted = tuple(name for name in names if name in _FIELDS or name == b"VmFlags")
    if len(names) > _MOST_LINES or wanted != (*_FIELDS, b"VmFlags"):
        return None
    values = {**dict.fromkeys(_FIELDS, _KILOBYTES), b"VmFlags": rb" ([^\n]*)\n"}
    return re.compile(_HEADER + b"".join(name + b":" + values.get(name, rb"[^\n]*\n") for name in names))


def _whole_entries(data: bytes) -> int:
    """How much of ``data`` is whole: all before the last mapping's first line, for the rest of that may be to come."""
    found = _LAST_START.match(data)
    return found.end() if found is not None else 0


def parse(data: bytes) -> SmapsClasses | None:
    """All of a smaps file; None when it holds no mapping (a kernel thread, a zombie)."""
    classifier = _Classifier()
    classifier.add(data)
    return classifier.result()


def read(mount: str, pid: int) -> SmapsClasses | None:
    """The same, a piece at a time. Raises OSError: EACCES without ptrace access, ESRCH when it has no memory."""
    classifier = _Classifier()
    for piece in read_pieces(process_directory(mount, pid) + "/smaps", _whole_entries):
        classifier.add(piece)
    return classifier.result()
