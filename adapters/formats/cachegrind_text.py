"""The text of Xdebug's cachegrind files, paragraph by paragraph, into numbers. Pure; grammar in `adapters.formats.cachegrind`.

Fast where it has to be: a block is split, not scanned, and a reference that was seen before costs one dict lookup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_CAP_BYTES = 64 << 20
FRAMES_CAP = 200_000
_NAME_CAP = 1024  # Xdebug itself cuts names of internal functions at 1018
_COST_CAP = 64
_JUNK_CAP = 100_000  # paragraphs that say nothing: a small packed file can hold a thousand million empty ones
_IGNORED = (b"creator:", b"cmd:", b"part:", b"positions:", b"====")
_CALLS = b"\ncalls=1 0 0\n"  # one block is one invocation, so Xdebug never writes anything else

Cost = tuple[bytes, int, int]
"""Line of a call, inclusive time, inclusive memory."""

Block = tuple[int, bytes, int, int, list[int], list[Cost]]
"""Frame, line, own time, own memory; frames called, in order, and what each call cost. Memory is 0 without that column."""


class TooLargeError(ValueError):
    """The file is beyond a limit; reading on would use too much memory."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """A profile begins: those before it in the same file are over, and nothing after belongs to their calls."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a profile: total time and peak (None in files without a memory column), in the file's units."""

    time: int
    peak: int | None


class TextReader:
    """Turns paragraphs into blocks. ``frames`` holds (file, function) by frame number and grows while reading."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bytes]] = []
        self.columns = 0  # 1: time, 2: time and memory, 0: no header seen
        self.unit_ns = 10
        self.malformed = 0
        self.cut = False
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._files: dict[bytes, bytes] = {}  # name by id
        self._functions: dict[bytes, bytes] = {}
        self._blocks: dict[bytes, int] = {}  # frame by the text of a reference without names
        self._callees: dict[bytes, int] = {}
        self._held = b""
        self._tail = b""
        self._others = 0

    def feed(self, chunk: bytes) -> Iterator[Block | Boundary | Summary]:
        """The next bytes of the file, in pieces of any size. Raises ValueError when this is no Xdebug profile."""
        old = len(self._tail)
        data = self._tail + chunk
        end = data.rfind(b"\n\n", max(old - 1, 0))
        if end < 0:
            self._tail = data
            if len(data) > BLOCK_CAP_BYTES:
                raise TooLargeError(f"a block is larger than {BLOCK_CAP_BYTES >> 20} MiB")
            return
        self._tail = data[end + 2 :]
        for piece in data[:end].split(b"\n\n"):
            if not piece.startswith(b"fl="):
                self._others += 1
                if self._others > _JUNK_CAP:
                    raise TooLargeError("the file is mostly something else than blocks")
                yield from self._other(piece)
                continue
            try:
                block = self._block(piece)
            except TooLargeError:
                raise
            except (KeyError, ValueError):
                self._not_a_block(piece)
                continue
            yield block

    def end(self) -> Iterator[Block | Boundary | Summary]:
        """The file is over; what follows the last paragraph is dropped unless it is a whole summary."""
        rest = self._tail.lstrip(b"\n")
        if rest.startswith(b"summary:") and rest.endswith(b"\n"):
            yield from self._lines(rest)
        elif rest:
            self.cut = True
        if not self.columns:
            raise ValueError("this is no Xdebug profile: it has no header")

    def _not_a_block(self, piece: bytes) -> None:
        """A paragraph that begins like a block and is none."""
        if not self.columns:
            raise ValueError("this is no Xdebug profile: it has no header")
        if piece.count(b"\n") == 1:
            self._held = piece  # before 2.6 the summary is in the middle of {main}'s block
        else:
            self.malformed += 1
            if self.malformed > _JUNK_CAP:
                raise TooLargeError(f"more than {_JUNK_CAP} places in the file cannot be read")

    def _other(self, piece: bytes) -> Iterator[Block | Boundary | Summary]:
        """A paragraph that does not begin like a block."""
        piece = piece.lstrip(b"\n")
        if self._held and piece[:1].isdigit():
            piece, self._held = self._held + b"\n" + piece, b""
        if not piece.startswith(b"fl="):
            yield from self._lines(piece)
            return
        try:
            block = self._block(piece)
        except TooLargeError:
            raise
        except (KeyError, ValueError):
            self._not_a_block(piece)
            return
        yield block

    def _block(self, piece: bytes) -> Block:
        """Raises ValueError or KeyError when the paragraph is not a block."""
        columns = self.columns or 3  # without a header no cost line fits
        own, *rest = piece.split(_CALLS)
        own, _, callee = own.partition(b"\ncfl=")
        reference, _, cost = own.rpartition(b"\n")
        frame = self._blocks.get(reference)
        if frame is None:
            frame = self._resolve(reference, reference[3:], b"\nfn=", self._blocks)
        values = cost.split(b" ")
        if len(values) <= columns or len(cost) > _COST_CAP:
            raise ValueError("not a cost line")
        time, memory = int(values[1]), int(values[2]) if columns > 1 else 0
        called: list[int] = []
        costs: list[Cost] = []
        callees = self._callees
        for part in rest:
            frame_called = callees.get(callee)
            if frame_called is None:
                frame_called = self._resolve(callee, callee, b"\ncfn=", callees)
            cost, _, callee = part.partition(b"\ncfl=")
            inclusive = cost.split(b" ")
            if len(inclusive) <= columns or len(cost) > _COST_CAP:
                raise ValueError("not a cost line")
            called.append(frame_called)
            costs.append((inclusive[0], int(inclusive[1]), int(inclusive[2]) if columns > 1 else 0))
        if callee:
            raise ValueError("a call without its cost")
        return frame, values[0], time, memory, called, costs

    def _resolve(self, text: bytes, references: bytes, between: bytes, cache: dict[bytes, int]) -> int:
        """The frame of ``(1) file<between>(2) function``. References without names are remembered by their text."""
        file_ref, found, function_ref = references.partition(between)
        if not found or b"\n" in file_ref or b"\n" in function_ref:
            raise ValueError("not a reference")
        file, file_named = self._name(file_ref, self._files)
        function, function_named = self._name(function_ref, self._functions)
        number = self._numbers.get((file, function))
        if number is None:
            number = len(self.frames)
            if number >= FRAMES_CAP:
                raise TooLargeError(f"the profile has more than {FRAMES_CAP} functions")
            self._numbers[file, function] = number
            self.frames.append((file, function))
        if not (file_named or function_named):
            cache[text] = number
        return number

    def _name(self, ref: bytes, names: dict[bytes, bytes]) -> tuple[bytes, bool]:
        """The name a reference stands for, and whether it was spelled out."""
        if not ref.startswith(b"("):
            return ref[:_NAME_CAP], True
        identifier, _, name = ref.partition(b") ")
        if not name:
            return names[identifier.removesuffix(b")")], False
        if len(identifier) > 20:
            raise ValueError("not an id")
        if len(names) >= FRAMES_CAP:
            raise TooLargeError(f"the profile has more than {FRAMES_CAP} names")
        name = name[:_NAME_CAP]
        if (
            names.get(identifier, name) != name
        ):  # after a fork two processes write into one file: the last definition counts
            self._forget()
        names[identifier] = name
        return name, True

    def _forget(self) -> None:
        self._blocks.clear()
        self._callees.clear()

    def _lines(self, piece: bytes) -> Iterator[Boundary | Summary]:
        """A paragraph that is no block: header lines and summaries."""
        for line in piece.split(b"\n"):
            if line.startswith(b"version:"):
                self._files.clear()
                self._functions.clear()
                self._forget()
                yield Boundary()
            elif line.startswith(b"events:"):
                self._events(line)
            elif line.startswith(b"summary:"):
                values = line.split()[1:]
                if len(values) in {1, 2} and all(v.isdigit() and len(v) < 20 for v in values):
                    yield Summary(int(values[0]), int(values[1]) if len(values) == 2 else None)
                else:
                    self.malformed += 1
            elif line and not line.startswith(_IGNORED):
                self.malformed += 1

    def _events(self, line: bytes) -> None:
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
