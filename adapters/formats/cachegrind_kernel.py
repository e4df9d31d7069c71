"""The compiled reader of cachegrind blocks, `_cachegrind.c`, through ctypes: one library for every Python.

It is built with the package where there is a C compiler (`kernel_build`). A library that was not built from the source next to
it is not used.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Final

from adapters.formats.cachegrind_text import Folded, Headers, ImpossibleError, Limits, RefusedError, too_large
from adapters.formats.kernel_source import LIBRARY, SOURCE, version_of

_DONE, _OTHER, _NOT_A_BLOCK, _BLOCK = range(4)
_LIMIT: Final = {-1: "block_bytes", -2: "frames", -3: "names", -4: "name_bytes", -5: "edges", -6: "pending"}
_IMPOSSIBLE = -7


class NoKernelError(RuntimeError):
    """There is no compiled reader here; the message says why."""


_LIMITS = ("block_bytes", "frames", "name_bytes", "edges", "tree", "pending", "search")


class _Limits(ctypes.Structure):
    _fields_ = [(name, c_int64) for name in _LIMITS]


class _Result(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("frames", "functions", "edges", "tree", "tree_size", "unmatched")),
        ("size", c_uint64 * 2),
        ("frame_names", c_void_p),
        ("names", c_int64),
        ("name_ends", c_void_p),
        ("name_bytes", c_void_p),
        ("function_columns", c_void_p),
        ("edge_columns", c_void_p),
        ("tree_columns", c_void_p),
    ]


def load(path: Path = LIBRARY, source: Path = SOURCE) -> ctypes.CDLL:
    """The library. Raises NoKernelError when it is missing, of another source or another machine."""
    if not path.exists():
        raise NoKernelError("it was not compiled when the package was built or installed (no C compiler?)")
    try:
        library = ctypes.CDLL(str(path))
        library.cg_source_version.restype = c_char_p
        if library.cg_source_version() != version_of(source).encode():
            raise NoKernelError("it was compiled from another version of the source: install the package again")
    except (OSError, AttributeError) as error:
        raise NoKernelError(f"it cannot be loaded: {error}") from None
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "cg_new": (c_void_p, (POINTER(_Limits), POINTER(c_uint64))),
        "cg_free": (None, (c_void_p,)),
        "cg_feed": (c_int, (c_void_p, c_char_p, c_size_t)),
        "cg_next": (c_int, (c_void_p,)),
        "cg_block": (c_int, (c_void_p, c_char_p, c_size_t)),
        "cg_piece": (c_void_p, (c_void_p, POINTER(c_size_t))),
        "cg_tail": (c_void_p, (c_void_p, POINTER(c_size_t))),
        "cg_columns": (None, (c_void_p, c_int)),
        "cg_boundary": (c_int, (c_void_p,)),
        "cg_finish": (POINTER(_Result), (c_void_p, c_int64)),
    }
    for name, (answer, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = answer, arguments
    return library


@cache
def _installed() -> ctypes.CDLL | str:
    try:
        return load()
    except NoKernelError as error:
        return str(error)


def why_not() -> str | None:
    """Why profiles are read in Python here, or None where the compiled reader does it."""
    found = _installed()
    return found if isinstance(found, str) else None


class KernelBlocks:
    """See `adapters.formats.cachegrind_text.Blocks`. Raises NoKernelError without a library, MemoryError without memory."""

    def __init__(self, headers: Headers, limits: Limits, library: ctypes.CDLL | None = None) -> None:
        found = library or _installed()
        if isinstance(found, str):
            raise NoKernelError(f"there is no compiled reader of profiles: {found}")
        self._headers = headers
        self._limits = limits
        self._library = found
        # What is hashed is chosen by the file's author, who must not be able to choose collisions.
        secret = (c_uint64 * 5).from_buffer_copy(os.urandom(40))
        own = _Limits(*(getattr(limits, name) for name in _LIMITS))
        self._reader: int | None = found.cg_new(own, secret)
        if not self._reader:
            raise MemoryError

    def __del__(self) -> None:
        reader, self._reader = getattr(self, "_reader", None), None
        if reader:
            self._library.cg_free(reader)

    def feed(self, chunk: bytes) -> None:
        status = self._checked(self._library.cg_feed(self._reader, chunk, len(chunk)))
        while status != _DONE:
            piece = self._text(self._library.cg_piece)
            if status == _OTHER:
                self._headers.other(piece, self)
            else:
                self._headers.not_a_block(piece)
            status = self._checked(self._library.cg_next(self._reader))

    def tail(self) -> bytes:
        return self._text(self._library.cg_tail)

    def block(self, piece: bytes) -> bool:
        return self._checked(self._library.cg_block(self._reader, piece, len(piece))) == _BLOCK

    def boundary(self) -> None:
        self._checked(self._library.cg_boundary(self._reader))

    def set_columns(self, columns: int) -> None:
        self._library.cg_columns(self._reader, columns)

    def finish(self, tree_nodes: int) -> Folded:
        pointer = self._library.cg_finish(self._reader, tree_nodes)
        if not pointer:
            raise MemoryError
        result = pointer.contents
        sizes = (result.size[0], result.size[1])
        return Folded(
            _frames(result),
            zip(*_columns(result.function_columns, 7, result.functions), strict=True),
            zip(*_columns(result.edge_columns, 6, result.edges), strict=True),
            list(zip(*_columns(result.tree_columns, 7, result.tree), strict=True)),
            None if result.tree_size < 0 else result.tree_size,
            result.unmatched,
            sizes,
        )

    def _checked(self, status: int) -> int:
        if status >= 0:
            return status
        raise self._error(status)

    def _error(self, status: int) -> RefusedError | MemoryError:
        if status in _LIMIT:
            return too_large(self._limits, _LIMIT[status])
        return ImpossibleError() if status == _IMPOSSIBLE else MemoryError()

    def _text(self, function: ctypes._NamedFuncPointer) -> bytes:
        size = c_size_t()
        start = function(self._reader, ctypes.byref(size))
        return ctypes.string_at(start, size.value) if size.value else b""


def _columns(start: int, columns: int, rows: int) -> list[list[int]]:
    values = memoryview((c_int64 * (columns * rows)).from_address(start)).cast("B").cast("q")
    return [values[at * rows : (at + 1) * rows].tolist() for at in range(columns)]


def _frames(result: _Result) -> list[tuple[bytes, bytes]]:
    if not result.frames:
        return []
    ends = list((c_uint64 * result.names).from_address(result.name_ends))
    text = ctypes.string_at(result.name_bytes, ends[-1])
    names = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    numbers = list((c_uint32 * (2 * result.frames)).from_address(result.frame_names))
    return [(names[file], names[function]) for file, function in zip(numbers[::2], numbers[1::2], strict=True)]
