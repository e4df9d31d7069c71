"""The blocks of Xdebug's cachegrind files in Python, where there is no compiled reader. Both give the same, to the last number.

Fast where it has to be: a block is split, not scanned, and a reference that was seen before costs one dict lookup.
"""

from __future__ import annotations

import re

from adapters.formats.cachegrind_sums import Sums
from adapters.formats.cachegrind_text import (
    INT64,
    VALUE_DIGITS,
    Folded,
    Headers,
    ImpossibleError,
    Limits,
    too_large,
)

_NAME_CAP = 1024  # Xdebug itself cuts names of internal functions at 1018
_COST_CAP = 64
_LINES_CAP = 100_000
_CALLS = b"\ncalls=1 0 0\n"  # one block is one invocation, so Xdebug never writes anything else
_REFERENCE = re.compile(rb"\((\d{1,6})\)(?: (.*))?", re.DOTALL)


class _NotABlockError(Exception):
    """The paragraph is none."""


class PythonBlocks:
    """See `adapters.formats.cachegrind_text.Blocks`."""

    def __init__(self, headers: Headers, limits: Limits) -> None:
        self._headers = headers
        self._limits = limits
        self._sums = Sums(limits)
        self._columns = 0
        self._frames: list[tuple[bytes, bytes]] = []
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._name_bytes = 0
        self._files: dict[int, bytes] = {}  # name by id
        self._functions: dict[int, bytes] = {}
        self._blocks: dict[bytes, int] = {}  # frame by the text of a reference without names
        self._callees: dict[bytes, int] = {}
        self._lines: dict[bytes, int] = {}  # of definitions, -1 is none; and of calls, 0 is none
        self._call_lines: dict[bytes, int] = {}
        self._negative: list[tuple[int, int]] = []  # column and size of values below 0, in the block that is being read
        self._sizes = [0, 0]  # twice the negative values: what the sums miss of the absolute ones
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        old = len(self._tail)
        data = self._tail + chunk
        end = data.rfind(b"\n\n", max(old - 1, 0))
        if end < 0:
            self._tail = data
            if len(data) > self._limits.block_bytes:
                raise too_large(self._limits, "block_bytes")
            return
        if data[end - 1 : end] == b"\n":  # newlines count in pairs from the first on, wherever the file is cut
            begin = len(data[:end].rstrip(b"\n"))
            end = begin + (end + 2 - begin) // 2 * 2 - 2
        self._tail = data[end + 2 :]
        for piece in data[:end].split(b"\n\n"):
            if not piece.startswith(b"fl="):
                self._headers.other(piece, self)
            elif not self.block(piece):
                self._headers.not_a_block(piece)

    def tail(self) -> bytes:
        return self._tail

    def block(self, piece: bytes) -> bool:
        if self._negative:
            self._negative.clear()
        try:
            self._block(piece)
        except _NotABlockError:
            return False
        for column, size in self._negative:
            self._sizes[column] += 2 * size
        return True

    def boundary(self) -> None:
        self._files.clear()
        self._functions.clear()
        self._forget()
        self._sums.close_segment()

    def set_columns(self, columns: int) -> None:
        self._columns = columns

    def finish(self, tree_nodes: int) -> Folded:
        self._sums.close_segment()
        functions = self._sums.function_rows()
        edges = self._sums.edge_rows()
        sizes = tuple(
            min(sum(row[3 + column] for row in functions) + sum(row[4 + column] for row in edges) + below, INT64)
            for column, below in enumerate(self._sizes)
        )
        tree = list(self._sums.tree_rows(tree_nodes)) if max(sizes) < INT64 else []
        return Folded(
            self._frames, functions, edges, tree, self._sums.tree_size, self._sums.unmatched, (sizes[0], sizes[1])
        )

    def _block(self, piece: bytes) -> None:
        """Raises _NotABlockError. Names are defined as far as the paragraph goes, even when it turns out to be no block."""
        columns = self._columns or _COST_CAP + 1  # without a header no cost line fits
        own, *rest = piece.split(_CALLS)
        own, more, callee = own.partition(b"\ncfl=")
        reference, _, cost = own.rpartition(b"\n")
        frame = self._blocks.get(reference)
        if frame is None:
            frame = self._resolve(reference, reference[3:], b"\nfn=", self._blocks)
        value = self._value
        values = cost.split(b" ")
        if len(values) <= columns or len(cost) > _COST_CAP:
            raise _NotABlockError
        line = self._lines.get(values[0])
        if line is None:
            line = _line(values[0], self._lines, -1)
        text = values[1]
        time = int(text) if text.isdigit() and len(text) <= VALUE_DIGITS else value(text, 0)
        memory = 0
        if columns > 1:
            text = values[2]
            memory = int(text) if text.isdigit() and len(text) <= VALUE_DIGITS else value(text, 1)
        called: list[int] = []
        costs: list[tuple[int, int, int]] = []
        callees, call_lines = self._callees, self._call_lines
        for part in rest:
            frame_called = callees.get(callee)
            if frame_called is None:
                frame_called = self._resolve(callee, callee, b"\ncfn=", callees)
            cost, more, callee = part.partition(b"\ncfl=")
            values = cost.split(b" ")
            if len(values) <= columns or len(cost) > _COST_CAP or b"\n" in cost:
                raise _NotABlockError
            call_line = call_lines.get(values[0])
            if call_line is None:
                call_line = _line(values[0], call_lines, 0)
            text = values[1]
            call_time = int(text) if text.isdigit() and len(text) <= VALUE_DIGITS else value(text, 0)
            call_memory = 0
            if columns > 1:
                text = values[2]
                call_memory = int(text) if text.isdigit() and len(text) <= VALUE_DIGITS else value(text, 1)
            called.append(frame_called)
            costs.append((call_line, call_time, call_memory))
        if more:
            raise _NotABlockError  # a call without its cost
        self._sums.add(frame, line, time, memory, called, costs)

    def _value(self, text: bytes, column: int) -> int:
        """A value that is not just 1 to 18 digits: one below 0."""
        digits = text.removeprefix(b"-")
        if not digits.isdigit():
            raise _NotABlockError
        if len(digits) > VALUE_DIGITS:
            raise ImpossibleError
        self._negative.append((column, int(digits)))
        return int(text)

    def _resolve(self, text: bytes, references: bytes, between: bytes, cache: dict[bytes, int]) -> int:
        """The frame of ``(1) file<between>(2) function``. References without names are remembered by their text."""
        file_ref, found, function_ref = references.partition(between)
        if not found or b"\n" in file_ref or b"\n" in function_ref:
            raise _NotABlockError
        file, file_named = self._name(file_ref, self._files)
        function, function_named = self._name(function_ref, self._functions)
        number = self._numbers.get((file, function))
        if number is None:
            number = len(self._frames)
            if number >= self._limits.frames:
                raise too_large(self._limits, "frames")
            self._name_bytes += len(file) + len(function)
            if self._name_bytes > self._limits.name_bytes:
                raise too_large(self._limits, "name_bytes")
            self._numbers[file, function] = number
            self._frames.append((file, function))
        if not (file_named or function_named):
            cache[text] = number
        return number

    def _name(self, ref: bytes, names: dict[int, bytes]) -> tuple[bytes, bool]:
        """The name a reference stands for, and whether it was spelled out."""
        if not ref.startswith(b"("):
            return ref[:_NAME_CAP], True
        parts = _REFERENCE.fullmatch(ref)
        if parts is None:
            raise _NotABlockError
        identifier, name = int(parts[1]), parts[2]
        if name is None:
            known = names.get(identifier)
            if known is None:
                raise _NotABlockError
            return known, False
        if len(names) >= self._limits.frames:
            raise too_large(self._limits, "names")
        name = name[:_NAME_CAP]
        if names.get(identifier, name) != name:
            self._forget()  # after a fork two processes write into one file: the last definition counts
        names[identifier] = name
        return name, True

    def _forget(self) -> None:
        self._blocks.clear()
        self._callees.clear()


def _line(text: bytes, known: dict[bytes, int], otherwise: int) -> int:
    if len(known) >= _LINES_CAP:
        known.clear()
    line = known[text] = int(text) if text.isdigit() and len(text) < 10 else otherwise
    return line
