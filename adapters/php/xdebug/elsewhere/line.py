"""One shell at the other end of a pair of pipes (``podman exec``, ``ssh``), asked one thing at a time. Knows nothing of Xdebug.

The other end is hostile: whatever it says is capped, and every wait has an end. It may print a greeting first; after that, what
does not begin with the token of this line ends it.
"""

from __future__ import annotations

import os
import secrets
import selectors
import shlex
import subprocess
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.clock import Clock

_GREETING_CAP_BYTES = 1 << 18
_WORDS_CAP_BYTES = 8192
_WORD_LINES_CAP = 64
_STDERR_CAP_BYTES = 4096
_READ_BYTES = 1 << 16
_UNPACK_BYTES = 1 << 20
_END_S = 2.0
_START_S = 20.0
_IDLE_S = 30.0  # without a byte of an answer that is waited for
_TOLD_CAP = 200

Take = Callable[[bytes], object]


class LineError(Exception):
    """The line cannot be had or broke; the text says why, with the last that was said on it. ``fix``: what to do, where that is
    known."""

    def __init__(self, why: str, fix: str | None = None) -> None:
        super().__init__(why)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Answer:
    """``lines``: what was said, as words; ``data``: what came packed, unpacked here unless somebody took it."""

    lines: tuple[tuple[str, ...], ...]
    data: bytes

    def of(self, word: str) -> tuple[str, ...] | None:
        """The words behind the first line that begins with this one."""
        return next((line[1:] for line in self.lines if line and line[0] == word), None)

    def has(self, word: str) -> bool:
        return self.of(word) is not None


class Line:
    """A running ``argv`` that executes what is written to it as a POSIX shell. Not for several threads at a time."""

    def __init__(self, argv: Sequence[str], script: str, variables: Mapping[str, str], clock: Clock) -> None:
        """Start it and wait until the script answers. Raises LineError."""
        self._clock = clock
        self._token = secrets.token_hex(16)
        self._number = 0
        self._buffer = b""
        self._said = b""  # on standard error, the last of it
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            raise LineError(f"cannot start {argv[0]}: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        given = {"token": self._token, **variables}
        preamble = "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items())
        try:
            deadline_ns = self._in(_START_S)
            self._write(os.fsencode(preamble + script), deadline_ns)
            self._skip_greeting(deadline_ns)
        except LineError:
            self.close()
            raise

    def ask(self, words: str, *, seconds: float, cap_bytes: int = 0, take: Take | None = None) -> Answer:
        """Ask, and wait for the whole answer. ``words`` are safe for the shell there. ``cap_bytes``: of what comes
        packed, the most there may be unpacked; each piece is given to ``take`` where there is one. Raises LineError, after which
        the line is closed."""
        if not self.is_open:
            raise LineError("the connection was closed")
        self._number += 1
        deadline_ns = self._in(seconds)
        try:
            self._write(f"{self._number} {words}\n".encode("ascii"), deadline_ns)
            return self._answer(deadline_ns, cap_bytes, take)
        except LineError:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        return self._process.poll() is None and not self._stdin.closed

    def close(self) -> None:
        """End it: the script ends with its input; what does not is terminated."""
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                pipe.close()
        for end in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _skip_greeting(self, deadline_ns: int) -> None:
        """Shells and servers may say something first; it is of no interest, but it has an end."""
        ready = f"{self._token} 0 ready\n".encode()
        while ready not in self._buffer:
            if len(self._buffer) > _GREETING_CAP_BYTES:
                raise LineError("a greeting without an end came, and no answer of the script")
            self._read(deadline_ns)
        self._buffer = self._buffer.partition(ready)[2]

    def _answer(self, deadline_ns: int, cap_bytes: int, take: Take | None) -> Answer:
        lines: list[tuple[str, ...]] = []
        data, begin = bytearray(), (self._token, str(self._number))
        for _ in range(_WORD_LINES_CAP):
            line = self._words(deadline_ns)
            if line[:2] != begin:
                raise LineError("something that is not the script wrote into its answer")
            words = line[2:]
            if words == ("end",):
                return Answer(tuple(lines), bytes(data))
            if words == ("data",):
                self._unpack(deadline_ns, cap_bytes, take or data.extend)
            else:
                lines.append(words)
        raise LineError("an answer without an end came")

    def _words(self, deadline_ns: int) -> tuple[str, ...]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _WORDS_CAP_BYTES:
                raise LineError("something that is not the script wrote into its answer")
            self._read(deadline_ns)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return tuple(line[:_WORDS_CAP_BYTES].decode("utf-8", "replace").split())

    def _unpack(self, deadline_ns: int, cap_bytes: int, take: Take) -> None:
        """One member of gzip, whose check sum says that it is whole; nothing behind it is touched."""
        unpack, unpacked = zlib.decompressobj(31), 0
        while not unpack.eof:
            if not self._buffer:
                self._read(deadline_ns)
            pending, self._buffer = self._buffer, b""
            while pending and not unpack.eof:
                try:
                    plain = unpack.decompress(pending, _UNPACK_BYTES)
                except zlib.error as error:
                    raise LineError("what came is damaged") from error
                unpacked += len(plain)
                if unpacked > cap_bytes:
                    raise LineError(f"more than the {cap_bytes} bytes that were asked for came")
                take(plain)
                pending = unpack.unconsumed_tail
        self._buffer = unpack.unused_data

    # -- pipes ---------------------------------------------------------------------------------------------------------

    def _write(self, data: bytes, deadline_ns: int) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdin, selectors.EVENT_WRITE)
            ready.register(self._stderr, selectors.EVENT_READ)
            while data:
                for key, _ in ready.select(self._left_s(deadline_ns)):
                    if key.fileobj is self._stderr:
                        if not self._hear():
                            ready.unregister(self._stderr)
                        continue
                    try:
                        data = data[os.write(self._stdin.fileno(), data) :]
                    except BlockingIOError:
                        continue
                    except OSError as error:
                        raise self._broken() from error

    def _read(self, deadline_ns: int) -> None:
        """More of the answer, at least one byte."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            ready.register(self._stderr, selectors.EVENT_READ)
            idle_ns = min(deadline_ns, self._in(_IDLE_S))
            while True:
                for key, _ in ready.select(self._left_s(idle_ns)):
                    if key.fileobj is self._stderr:
                        if not self._hear():
                            ready.unregister(self._stderr)
                        continue
                    with suppress(BlockingIOError):
                        more = os.read(self._stdout.fileno(), _READ_BYTES)
                        if not more:
                            raise self._broken()
                        self._buffer += more
                        return

    def _hear(self) -> bool:
        """Keep the last of what is said on standard error; False at its end."""
        try:
            said = os.read(self._stderr.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        self._said = (self._said + said)[-_STDERR_CAP_BYTES:]
        return bool(said)

    def _broken(self) -> LineError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)  # its last words are complete then
        while self._ready_to_hear() and self._hear():
            pass
        last = next((line for line in reversed(self._said.decode("utf-8", "replace").split("\n")) if line.strip()), "")
        told = "".join(c if c.isprintable() else "?" for c in last).strip()[:_TOLD_CAP]
        return LineError(f"the connection ended: {told}" if told else "the connection ended without a word")

    def _ready_to_hear(self) -> bool:
        with selectors.DefaultSelector() as ready:
            ready.register(self._stderr, selectors.EVENT_READ)
            return bool(ready.select(0))

    def _in(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + int(seconds * 1e9)

    def _left_s(self, deadline_ns: int) -> float:
        left_s = (deadline_ns - self._clock.monotonic_ns()) / 1e9
        if left_s <= 0:
            raise LineError("no answer in time")
        return left_s
