"""What the allocators of this process say of themselves, asked through ctypes. Loaded by the first floor, never at boot.

A function is looked up before it is called, its types are declared, and one that is not there leaves its values out (musl, old
glibc, builds without pymalloc). Values are ints by name, unit in the name; what is missing is said in words, by what it concerns.
An allocator that has been loaded without being this process's malloc would give counters of nothing, so the one asked is the one
whose file holds ``malloc``.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p

_TEXT_CAP = 4 << 20
_JEMALLOC = ("allocated", "active", "metadata", "resident", "mapped", "retained")
_TCMALLOC = {
    "allocated": b"generic.current_allocated_bytes",
    "heap": b"generic.heap_size",
    "free": b"tcmalloc.pageheap_free_bytes",
    "unmapped": b"tcmalloc.pageheap_unmapped_bytes",
}


class _Mallinfo2(Structure):
    """mallinfo(3); size_t throughout, unlike ``struct mallinfo``, whose ints wrap at 2 GiB."""

    _fields_ = [
        (name, c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


class _Where(Structure):
    """dladdr(3)."""

    _fields_ = [("file", c_char_p), ("base", c_void_p), ("symbol", c_char_p), ("address", c_void_p)]


class Allocators:
    """The functions of one library handle; the default is everything that is visible in this process.

    They are looked up once: to look again at every floor would leave garbage behind, for the application's collector.
    """

    def __init__(self, library=None, python=None):
        self._library = ctypes.CDLL(None) if library is None else library
        python = ctypes.pythonapi if python is None else python
        self._stats = _function(python, "_PyObject_DebugMallocStats", c_int, c_void_p)
        self._open = self._find("open_memstream", c_void_p, POINTER(c_void_p), POINTER(c_size_t))
        self._close = self._find("fclose", c_int, c_void_p)
        self._free = self._find("free", None, c_void_p)
        self._info = self._find("mallinfo2", _Mallinfo2)
        self._describe = self._find("malloc_info", c_int, c_int, c_void_p)
        self._control = self._find("mallctl", c_int, c_char_p, c_void_p, c_void_p, c_void_p, c_size_t)
        self._property = self._find("MallocExtension_GetNumericProperty", c_int, c_char_p, POINTER(c_size_t))
        self._process_info = self._find("mi_process_info", None, *[POINTER(c_size_t)] * 8)
        self._trim = self._find("malloc_trim", c_int, c_size_t) if self._is_malloc("malloc_trim") else None
        self._ask_malloc = self._no_malloc
        for symbol, ask in (
            ("mallctl", self._jemalloc),
            ("MallocExtension_GetNumericProperty", self._tcmalloc),
            ("mi_process_info", self._mimalloc),
            ("gnu_get_libc_version", self._glibc),
        ):
            if self._is_malloc(symbol):
                self._ask_malloc = ask
                break

    def read(self):
        """(values, missing): state of pymalloc and of this process's malloc, and why something is not in it."""
        values: "dict[str, int | None]" = {}
        missing: "dict[str, str]" = {}
        self._pymalloc(values, missing)
        self._ask_malloc(values, missing)
        return values, missing

    def can_trim(self):
        """Whether this process's malloc is glibc's, the only one with malloc_trim."""
        return self._trim is not None

    def trim(self):
        """malloc_trim(0): whether anything was given back to the kernel; 0 where it is not `can_trim`."""
        trim = self._trim
        return 0 if trim is None else trim(0)

    def _pymalloc(self, values, missing):
        if self._stats is None:
            missing["pymalloc"] = "this interpreter does not export _PyObject_DebugMallocStats"
            return
        text = self._written(self._stats)
        if text is None:
            missing["pymalloc"] = "this C library has no open_memstream"
        elif not text:
            missing["pymalloc"] = "Python does not use pymalloc here (PYTHONMALLOC=malloc, or built without it)"
        else:
            values.update(pymalloc_values(text))
            if "pymalloc.blocks" not in values:
                missing["pymalloc"] = "this interpreter writes its allocator's state in a form that is not known"

    # --- malloc --------------------------------------------------------------------------------------------------

    def _no_malloc(self, values, missing):
        missing["malloc"] = (
            "this process's malloc (musl's, or one that is not known) has no counters that can be asked for"
        )

    def _glibc(self, values, missing):
        if self._info is None:
            missing["glibc"] = "glibc before 2.33 has only mallinfo, whose numbers wrap at 2 GiB"
        else:
            info = self._info()
            values["glibc.system_bytes"] = info.arena
            values["glibc.mmapped_bytes"] = info.hblkhd
            values["glibc.used_bytes"] = info.uordblks + info.fsmblks
            values["glibc.free_bytes"] = info.fordblks - info.fsmblks
            values["glibc.top_bytes"] = info.keepcost
        if self._describe is not None:
            values.update(glibc_values(self._written(self._write_info) or b""))

    def _write_info(self, stream):
        self._describe(0, stream)

    def _jemalloc(self, values, missing):
        epoch = c_uint64(1)  # the statistics are of the moment when this was last written
        self._control(b"epoch", None, None, byref(epoch), 8)
        for name in _JEMALLOC:
            number, size = c_size_t(0), c_size_t(ctypes.sizeof(c_size_t))
            failed = self._control(b"stats." + name.encode(), byref(number), byref(size), None, 0)
            values["jemalloc.%s_bytes" % name] = None if failed else number.value

    def _tcmalloc(self, values, missing):
        for name, key in _TCMALLOC.items():
            number = c_size_t(0)
            known = self._property(key, byref(number))
            values["tcmalloc.%s_bytes" % name] = number.value if known else None

    def _mimalloc(self, values, missing):
        numbers = [c_size_t(0) for _ in range(8)]  # times, RSS, peak RSS, committed, peak committed, faults
        self._process_info(*map(byref, numbers))
        values["mimalloc.committed_bytes"] = numbers[5].value
        values["mimalloc.committed_peak_bytes"] = numbers[6].value

    # --- parts ---------------------------------------------------------------------------------------------------

    def _find(self, name, result, *arguments):
        return _function(self._library, name, result, *arguments)

    def _is_malloc(self, symbol):
        """Whether a function comes from the file that this process's malloc comes from.

        Asked of ``malloc_usable_size``, which every malloc has: the address of ``malloc`` itself is one in the program where a
        program that is not position-independent takes it, as Debian's Python does.
        """
        base = self._base("malloc_usable_size")
        return base is not None and self._base(symbol) == base

    def _base(self, symbol):
        """Where the file with this symbol is loaded, None when it is not there."""
        ask = self._find("dladdr", c_int, c_void_p, POINTER(_Where))
        function = self._find(symbol, None)
        if ask is None or function is None:
            return None
        where = _Where()
        return where.base if ask(ctypes.cast(function, c_void_p), byref(where)) else None

    def _written(self, write):
        """What ``write(FILE *)`` wrote (bytes), None where the C library has no memory streams."""
        if self._open is None or self._close is None or self._free is None:
            return None
        text, size = c_void_p(), c_size_t()
        stream = self._open(byref(text), byref(size))
        if not stream:
            return None
        try:
            write(stream)
        finally:
            self._close(stream)
        try:
            return ctypes.string_at(text.value, min(size.value, _TEXT_CAP)) if text.value else b""
        finally:
            self._free(text)


def _function(library, name, result, *arguments):
    """A function of a library, None when it is not there. By item: the attribute is shared with the application."""
    try:
        function = library[name]
    except (AttributeError, TypeError):
        return None
    function.restype, function.argtypes = result, arguments
    return function


def pymalloc_values(text):
    """What ``_PyObject_DebugMallocStats`` writes (bytes, Objects/obmalloc.c), as values; {} for anything that is not whole.

    The same lines on 3.8 to 3.13. From 3.10 on a second part about the map of arenas follows, which has a ``Total`` too.
    """
    values = {}
    blocks = pools = classes = 0
    for line in text.split(b"\n"):
        words = line.split()
        if len(words) == 5 and all(word.isdigit() for word in words):  # class, size, pools, blocks in use, available
            classes += 1
            pools += int(words[2])
            blocks += int(words[3])
        elif line.startswith(b"# arenas allocated current"):
            values["arenas"] = _number(line)
        elif line.startswith(b"# arenas highwater mark"):
            values["arenas_highwater"] = _number(line)
        elif b" bytes/arena" in line:
            values["pymalloc.held_bytes"] = _number(line)
        elif line.startswith(b"# bytes in allocated blocks"):
            values["pymalloc.live_bytes"] = _number(line)
        elif b" unused pools * " in line:
            count = line.split(None, 1)[0]
            values["pymalloc.free_pools"] = int(count) if count.isdigit() else None
        elif line.startswith(b"Total"):
            break
    else:
        return {}
    if len(values) != 5 or None in values.values() or not classes:
        return {}
    values["pymalloc.blocks"] = blocks
    values["pymalloc.used_pools"] = pools
    return values


def _number(line):
    """The number behind the last ``=`` of a line, None when there is none."""
    digits = line.rpartition(b"=")[2].strip().replace(b",", b"")
    return int(digits) if digits.isdigit() else None


def glibc_values(text):
    """What malloc_info(3) writes (bytes of XML, one element a line), summed: the main arena, and those of threads apart.

    {} for anything that is not whole. ``free`` includes the top of each arena, and not the fast bins.
    """
    if b"</malloc>" not in text:
        return {}
    arenas = 0
    sums = {"main_system": 0, "main_free": 0, "other_system": 0, "other_free": 0}
    inside = False
    for line in text.split(b"\n"):
        if line.startswith(b"<heap "):
            inside = True
            arenas += 1
        elif line.startswith(b"</heap>"):
            inside = False
        elif inside:
            which = "main" if arenas == 1 else "other"
            if line.startswith(b'<system type="current"'):
                sums[which + "_system"] += _size(line)
            elif line.startswith(b'<total type="rest"'):
                sums[which + "_free"] += _size(line)
    if not arenas:
        return {}
    values = {"glibc.%s_bytes" % name: size for name, size in sums.items()}
    values["glibc.arenas"] = arenas
    return values


def _size(line):
    digits = line.partition(b'size="')[2].partition(b'"')[0]
    return int(digits) if digits.isdigit() else 0
