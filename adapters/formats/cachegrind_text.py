"""What is in Xdebug's cachegrind files beside blocks: headers, summaries, damage; and the limits. Grammar: `cachegrind`.

Blocks are read and added up by a `Blocks`, of which there are two: the compiled one (`cachegrind_kernel`) and one in Python
(`cachegrind_blocks`). They split the file into paragraphs, and leave to `Headers` those that are no blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

INT64 = 2**63
VALUE_DIGITS = 18
_JUNK_CAP = 100_000  # paragraphs that say nothing: a small packed file can hold a thousand million empty ones
_LINES_CAP = 500_000  # of all paragraphs that are no blocks: a profile has ten
_IGNORED = (b"creator:", b"cmd:", b"part:", b"positions:", b"====")


class RefusedError(ValueError):
    """The file as a whole cannot be used."""


class TooLargeError(RefusedError):
    """The file is beyond a limit; reading on would use too much memory."""


class ImpossibleError(RefusedError):
    """A number, or all of a column together, is beyond 64 bits."""

    def __init__(self) -> None:
        super().__init__("the profile holds impossible numbers")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a profile may be, far above what real ones are. Errors: `too_large`."""

    block_bytes: int = 64 << 20
    frames: int = 200_000
    name_bytes: int = 64 << 20
    edges: int = 1_000_000
    tree: int = 1_000_000  # 700 000 were alive at once in a page of MediaWiki with 3 million calls
    pending: int = 2_000_000  # calls that returned into a function that has not returned yet
    search: int = 20_000_000  # steps spent on calls that are not where they should be; only forged files need many


LIMITS = Limits()


def too_large(limits: Limits, limit: str) -> TooLargeError:
    """The error for going beyond one of the limits; ``names`` is ``frames`` for names alone."""
    return TooLargeError(
        {
            "block_bytes": f"a block is larger than {limits.block_bytes >> 20} MiB",
            "frames": f"the profile has more than {limits.frames} functions",
            "names": f"the profile has more than {limits.frames} names",
            "name_bytes": f"the names of the profile's functions are larger than {limits.name_bytes >> 20} MiB",
            "edges": f"more than {limits.edges} different calls",
            "pending": f"one function makes more than {limits.pending} calls",
        }[limit]
    )


FunctionRow = tuple[int, int, int, int, int, int, int]
"""Frame, line (-1: unknown), calls, own time and memory, inclusive time and memory."""

EdgeRow = tuple[int, int, int, int, int, int]
"""Caller, callee, line (0: unknown), calls, inclusive time and memory."""

TreeRow = tuple[int, int, int, int, int, int, int]
"""Frame, position of the parent or -1, calls, own time and memory, inclusive time and memory."""


class Folded(NamedTuple):
    """All blocks of a file, added up. Values are in the file's units, memory is 0 where it has none.

    ``frames`` are (file, function). ``tree``: the largest nodes, parents first; ``tree_size``: how many there are, None when
    there were too many. ``unmatched``: calls without a block. ``sizes``: of each column the sum of all absolute values, 2**63
    for that or more.
    """

    frames: list[tuple[bytes, bytes]]
    functions: Iterable[FunctionRow]
    edges: Iterable[EdgeRow]
    tree: list[TreeRow]
    tree_size: int | None
    unmatched: int
    sizes: tuple[int, int]


class Blocks(Protocol):
    """Reads blocks and adds them up. All but ``finish`` may raise `RefusedError`."""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file, in pieces of any size."""

    def tail(self) -> bytes:
        """What follows the last empty line."""

    def block(self, piece: bytes) -> bool:
        """Read one paragraph that begins with ``fl=``; False when it is no block."""

    def boundary(self) -> None:
        """A profile begins: those before it in the same file are over, and nothing after belongs to their calls."""

    def set_columns(self, columns: int) -> None:
        """From here on blocks have time (1), or time and memory (2)."""

    def finish(self, tree_nodes: int) -> Folded:
        """All has been read. At most ``tree_nodes`` nodes of the tree."""


class Headers:
    """Reads paragraphs that are no blocks, and tells the reader of blocks what they mean for it."""

    def __init__(self) -> None:
        self.columns = 0  # 1: time, 2: time and memory, 0: no header seen
        self.unit_ns = 10
        self.malformed = 0
        self.cut = False
        self.segments = 0
        self.summaries = 0
        self.time = 0  # of all summaries, in the file's unit
        self.peak = 0
        self.without_peak = 0  # summaries that say 0
        self._others = 0
        self._lines_read = 0
        self._held = b""

    def other(self, piece: bytes, blocks: Blocks) -> None:
        """A paragraph that does not begin like a block."""
        self._count_other()
        piece = piece.lstrip(b"\n")
        if self._held and piece[:1].isdigit():
            piece, self._held = self._held + b"\n" + piece, b""
        if not piece.startswith(b"fl="):
            self._lines(piece, blocks)
        elif not blocks.block(piece):
            self.not_a_block(piece)

    def not_a_block(self, piece: bytes) -> None:
        """A paragraph that begins like a block and is none."""
        if not self.columns:
            raise ValueError("this is no Xdebug profile: it has no header")
        if piece.count(b"\n") == 1:
            self._count_other()
            self._held = piece  # before 2.6 the summary is in the middle of {main}'s block
        else:
            self.malformed += 1
            if self.malformed > _JUNK_CAP:
                raise TooLargeError(f"more than {_JUNK_CAP} places in the file cannot be read")

    def end(self, blocks: Blocks) -> None:
        """The file is over; what follows the last paragraph is dropped unless it is a whole summary."""
        rest = blocks.tail().lstrip(b"\n")
        if rest.startswith(b"summary:") and rest.endswith(b"\n"):
            self._lines(rest, blocks)
        elif rest:
            self.cut = True
        if not self.columns:
            raise ValueError("this is no Xdebug profile: it has no header")

    def _count_other(self) -> None:
        self._others += 1
        if self._others > _JUNK_CAP:
            raise TooLargeError("the file is mostly something else than blocks")

    def _lines(self, piece: bytes, blocks: Blocks) -> None:
        """A paragraph that is no block: header lines and summaries."""
        self._lines_read += piece.count(b"\n") + 1
        if self._lines_read > _LINES_CAP:
            raise TooLargeError("the file is mostly something else than blocks")
        for line in piece.split(b"\n"):
            if line.startswith(b"version:"):
                self.segments += 1
                blocks.boundary()
            elif line.startswith(b"events:"):
                self._events(line, blocks)
            elif line.startswith(b"summary:"):
                self._summary(line.split()[1:])
            elif line and not line.startswith(_IGNORED):
                self.malformed += 1

    def _summary(self, values: list[bytes]) -> None:
        if len(values) not in {1, 2} or not all(v.isdigit() and len(v) < 20 for v in values):
            self.malformed += 1
            return
        self.summaries += 1
        self.time += int(values[0])
        if len(values) == 2:
            peak = int(values[1])
            self.peak = max(self.peak, peak)
            self.without_peak += not peak

    def _events(self, line: bytes, blocks: Blocks) -> None:
        names = line.split()[1:]
        if (
            len(names) not in {1, 2}
            or not names[0].startswith(b"Time")
            or not names[-1].startswith((b"Time", b"Memory"))
        ):
            said = line[:80].decode(errors="replace")
            raise ValueError(f"this is no Xdebug profile: its columns are {said!r}, not Time_(10ns) Memory_(bytes)")
        self.columns = len(names)
        self.unit_ns = 10 if b"10ns" in names[0] else 1000  # microseconds before Xdebug 3
        blocks.set_columns(self.columns)
