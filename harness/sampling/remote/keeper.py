"""The keeper: starts programs of ours on this host, passes their lines over a line to home, and outlives that line for a while.

Home connects through ``link``, which hands over the two ends of its connection; a new connection takes the place of the old
one. What home has not confirmed is in the spool; while the spool is full nothing more is read from the programs, so that the
sampler waits, and says afterwards how many sweeps it missed. When home has not been heard for the grace period, or says that
it is done, the programs are told to end by the end of their standard input, and are killed if they do not; then the private
directory is removed.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple, Union

from . import frames
from .frames import Ack, FrameError, Hello, Message, Ping
from .spool import Spool

SOCKET = "line"
LOCK = "lock"
ARCHIVE = "harness.pyz"
END = b"."  # instead of the ends of a connection: have everything end
_READ = 1 << 16
_AHEAD = 1 << 18  # bytes handed to the connection before it takes more
_COMPLAINTS = 4096
_FIRST_S = 60.0  # home begins with connecting; if it does not, it has gone


class Patience(NamedTuple):
    """Seconds. ``silence``: without a word from home, a connection is taken for dead; ``grace``: and after this long
    everything ends;
    ``ending``: how long programs get to end by themselves; ``farewell``: how long home gets to take what is left."""

    silence: float = 15.0
    grace: float = 300.0
    ending: float = 60.0
    farewell: float = 10.0


class _Program:
    """One child, spoken to in lines."""

    def __init__(self, name: bytes, argv: List[str], cwd: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=cwd
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.input, self.output, self.errors = self.process.stdin, self.process.stdout, self.process.stderr
        for pipe in (self.input, self.output, self.errors):
            os.set_blocking(pipe.fileno(), False)
        self.pending = b""  # for its standard input
        self.hang_up = False  # close its standard input once that is written
        self.complaints = b""
        self._rest = b""
        self.heard_out = False  # its standard output has ended

    def lines(self, data: bytes) -> List[bytes]:
        """Complete lines out of what it has just said."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


class _Connection(NamedTuple):
    """The line as it is now: what ``link`` handed over, and ``link`` itself."""

    reading: int
    writing: int
    link: socket.socket


class Keeper:
    """One per run and host. ``command``: the command line that runs a part of this archive (its name is added)."""

    def __init__(self, directory: str, command: List[str], patience: Patience, spool: Spool) -> None:
        self._directory = directory
        self._command = command
        self._patience = patience
        self._spool = spool
        self._selector = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(os.path.join(directory, SOCKET))
        os.chmod(os.path.join(directory, SOCKET), 0o600)  # the directory may be opened for workers of another user
        self._listening.listen(4)
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._newcomers: Dict[int, socket.socket] = {}
        self._farewells: List[socket.socket] = []  # of those who wait for the end
        self._programs: Dict[bytes, _Program] = {}
        self._paused: List[_Program] = []  # not read from, because the spool is full
        self._connection: Optional[_Connection] = None
        self._greeted = False  # home has said what it has
        self._came = False  # home has been here
        self._splitter = frames.Splitter()
        self._out: Deque[memoryview] = collections.deque()
        self._out_size = 0
        self._writing = False  # waiting for the connection to take more
        self._sent = 0  # number of the last message handed to the connection
        self._received = 0  # number of the last message from home
        self._heard = time.monotonic()
        self._ending: Optional[float] = None  # since when
        self._asked_to_end = False
        self._discarding = False  # nobody will take what the programs still say

    def run(self) -> None:
        """Until it is over. Afterwards nothing of it is left on this host."""
        try:
            while not self._over():
                for key, mask in self._selector.select(self._until_next_s()):
                    if self._selector.get_map().get(key.fd) is key:  # not closed by an earlier one of this turn
                        key.data(mask)
                self._look_at_the_clock()
            self._say_goodbye()
        finally:
            for program in self._programs.values():
                program.process.kill()
            self._spool.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            self._drop_connection()

    # -- time ----------------------------------------------------------------------------------------------------------

    def _until_next_s(self) -> float:
        return 0.2 if self._ending is not None or self._newcomers else 1.0

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        silent = now - self._heard
        if self._connection is not None and silent > self._patience.silence:
            self._drop_connection()
        grace = self._patience.grace if self._came else min(self._patience.grace, _FIRST_S)
        if self._ending is None and silent > grace:
            self._end()
        if self._ending is None:
            return
        late = now - self._ending > self._patience.ending
        if late:
            for program in self._programs.values():
                program.process.kill()
        if late or not self._asked_to_end or silent > self._patience.farewell:
            self._discard()

    def _over(self) -> bool:
        if self._ending is None or self._programs:
            return False
        if self._spool.empty and not self._out:
            return True
        return not self._asked_to_end or time.monotonic() - self._heard > self._patience.farewell

    def _end(self) -> None:
        if self._ending is None:
            self._ending = time.monotonic()
            for program in self._programs.values():
                self._hang_up(program)

    def _say_goodbye(self) -> None:
        """After the files are gone, so that whoever hears it can rely on that."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._connection is not None:
            with contextlib.suppress(OSError):
                os.write(self._connection.writing, frames.OVER)

    # -- the connection ------------------------------------------------------------------------------------------------

    def _accept(self, _mask: int) -> None:
        try:
            link, _ = self._listening.accept()
        except OSError:
            return
        link.setblocking(False)
        self._newcomers[link.fileno()] = link
        self._selector.register(link, selectors.EVENT_READ, lambda _mask: self._take_over(link))

    def _take_over(self, link: socket.socket) -> None:
        """``link`` has sent the ends of its connection, or has gone."""
        self._newcomers.pop(link.fileno(), None)
        self._selector.unregister(link)
        word, descriptors = _received(link)
        if word == END:
            self._farewells.append(link)  # closed when all is over
            self._end()
            return
        if len(descriptors) != 2:
            for descriptor in descriptors:
                os.close(descriptor)
            link.close()
            return
        self._drop_connection()
        reading, writing = descriptors
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        self._connection = _Connection(reading, writing, link)
        self._splitter = frames.Splitter()
        self._heard = time.monotonic()
        self._selector.register(reading, selectors.EVENT_READ, self._read)
        self._selector.register(link, selectors.EVENT_READ, lambda _mask: self._drop_connection())  # it was killed
        self._write(frames.hello(self._received))

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._selector.unregister(connection.reading)
        self._selector.unregister(connection.link)
        if self._writing:
            self._selector.unregister(connection.writing)
        self._writing = self._greeted = False
        self._out.clear()
        self._out_size = 0
        os.close(connection.reading)
        os.close(connection.writing)
        connection.link.close()

    def _read(self, _mask: int) -> None:
        assert self._connection is not None
        try:
            data = os.read(self._connection.reading, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_connection()
            return
        self._heard = time.monotonic()
        try:
            for frame in self._splitter.feed(data):
                self._on_frame(frame)
        except (FrameError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write("{}\n".format(error))
            self._drop_connection()

    def _on_frame(self, frame: Any) -> None:
        if isinstance(frame, Ping):
            self._write(frames.pong(frame.token, time.monotonic_ns(), time.time_ns()))
        elif isinstance(frame, Ack):
            self._confirm(frame.last)
        elif isinstance(frame, Hello):
            self._sent = frame.last
            self._greeted = self._came = True
            self._confirm(frame.last)
            self._send()
        elif isinstance(frame, Message) and frame.number > self._received:
            self._received = frame.number
            if frame.program == frames.KEEPER:
                self._obey(json.loads(frame.line.decode()))
            elif frame.program in self._programs:
                self._tell(self._programs[frame.program], frame.line + b"\n")
            self._write(frames.ack(self._received))

    def _confirm(self, last: int) -> None:
        self._spool.confirm(last)
        if not self._spool.full:
            self._hear_again()

    def _hear_again(self) -> None:
        paused, self._paused = self._paused, []
        for program in paused:
            self._selector.register(program.output, selectors.EVENT_READ, self._hearing(program))

    def _discard(self) -> None:
        """From now on a full spool keeps nobody from ending."""
        if not self._discarding:
            self._discarding = True
            self._hear_again()

    def _send(self) -> None:
        """Hand messages to the connection, as many as it should hold at once."""
        if not self._greeted:
            return
        for number, piece in self._spool.after(self._sent):
            if self._out_size > _AHEAD:
                return
            self._sent = number
            self._write(piece)

    def _write(self, data: bytes) -> None:
        self._out.append(memoryview(data))
        self._out_size += len(data)
        if not self._writing:
            self._flush()

    def _flush(self, _mask: int = 0) -> None:
        connection = self._connection
        if connection is None:
            self._out.clear()
            return
        try:
            while self._out:
                view = self._out.popleft()
                taken = os.write(connection.writing, view)
                self._out_size -= taken
                if taken < len(view):
                    self._out.appendleft(view[taken:])
        except BlockingIOError:
            self._out.appendleft(view)
        except OSError:
            self._drop_connection()
            return
        if bool(self._out) != self._writing:
            self._writing = bool(self._out)
            if self._writing:
                self._selector.register(connection.writing, selectors.EVENT_WRITE, self._flush)
            else:
                self._selector.unregister(connection.writing)
        if not self._out and self._sent < self._spool.last:
            self._send()

    # -- orders and programs -------------------------------------------------------------------------------------------

    def _obey(self, order: Dict[str, Any]) -> None:
        kind = order["cmd"]
        if kind == "run":
            self._start(str(order["name"]).encode(), str(order["part"]))
        elif kind == "hang up":
            program = self._programs.get(str(order["name"]).encode())
            if program is not None:
                self._hang_up(program)
        elif kind == "kill":
            program = self._programs.get(str(order["name"]).encode())
            if program is not None:
                program.process.kill()
        elif kind == "end":
            self._asked_to_end = True
            self._end()

    def _start(self, name: bytes, part: str) -> None:
        if self._ending is not None or name in self._programs:
            return
        try:
            program = _Program(name, [*self._command, part], self._directory)
        except OSError as error:
            self._add(frames.KEEPER, _news(name, None, str(error)))
            return
        self._programs[name] = program
        self._selector.register(program.output, selectors.EVENT_READ, self._hearing(program))
        self._selector.register(program.errors, selectors.EVENT_READ, lambda _mask: self._hear_complaint(program))

    def _hearing(self, program: _Program) -> Callable[[int], None]:
        return lambda _mask: self._hear(program)

    def _hear(self, program: _Program) -> None:
        try:
            data = os.read(program.output.fileno(), _READ)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(program.output)
            program.output.close()
            program.heard_out = True
            self._has_ended(program)
            return
        for line in [] if self._discarding else program.lines(data):
            self._add(program.name, line)
        if self._spool.full and not self._discarding:
            self._selector.unregister(program.output)
            self._paused.append(program)
        self._send()

    def _hear_complaint(self, program: _Program) -> None:
        try:
            data = os.read(program.errors.fileno(), _READ)
        except BlockingIOError:
            return
        program.complaints = (program.complaints + data)[-_COMPLAINTS:]
        if not data:
            self._selector.unregister(program.errors)
            program.errors.close()

    def _has_ended(self, program: _Program) -> None:
        if not program.errors.closed:
            self._hear_complaint(program)
        if not program.errors.closed:
            self._selector.unregister(program.errors)
            program.errors.close()
        self._stop_telling(program)
        try:
            code: Union[int, None] = program.process.wait(5.0)
        except subprocess.TimeoutExpired:
            program.process.kill()
            code = program.process.wait()
        del self._programs[program.name]
        self._add(frames.KEEPER, _news(program.name, code, program.complaints.decode("utf-8", "replace")))
        self._send()

    def _add(self, name: bytes, line: bytes) -> None:
        try:
            self._spool.add(name, line)
        except ValueError as error:
            self._spool.add(frames.KEEPER, _news(name, None, str(error)))

    def _tell(self, program: _Program, data: bytes) -> None:
        if program.input.closed:
            return
        waiting = bool(program.pending)
        program.pending += data
        if not waiting:
            self._go_on_telling(program)

    def _go_on_telling(self, program: _Program) -> None:
        try:
            taken = os.write(program.input.fileno(), program.pending[:_READ]) if program.pending else 0
        except BlockingIOError:
            taken = 0
        except OSError:
            self._stop_telling(program)
            return
        program.pending = program.pending[taken:]
        registered = program.input.fileno() in self._selector.get_map()
        if program.pending and not registered:
            self._selector.register(program.input, selectors.EVENT_WRITE, lambda _mask: self._go_on_telling(program))
        elif not program.pending and registered:
            self._selector.unregister(program.input)
        if not program.pending and program.hang_up:
            self._stop_telling(program)

    def _hang_up(self, program: _Program) -> None:
        program.hang_up = True
        if not program.input.closed:
            self._go_on_telling(program)

    def _stop_telling(self, program: _Program) -> None:
        if program.input.closed:
            return
        if program.input.fileno() in self._selector.get_map():
            self._selector.unregister(program.input)
        program.pending = b""
        with contextlib.suppress(OSError):
            program.input.close()


def _news(name: bytes, code: Optional[int], complaints: str) -> bytes:
    said = {
        "k": "ended",
        "name": name.decode(),
        "code": code,
        "complaints": complaints[-_COMPLAINTS:],
        "cpu": time.process_time_ns(),  # the keeper's own until now
    }
    return json.dumps(said, separators=(",", ":")).encode()


def _received(link: socket.socket) -> Tuple[bytes, List[int]]:
    """The first byte, and the descriptors that came with it; empty when the other end has gone or is none of ours."""
    item = len(b"0123")
    try:
        word, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(2 * item))
    except OSError:
        return b"", []
    found: List[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found += [
                int.from_bytes(data[at : at + item], sys.byteorder) for at in range(0, len(data) - item + 1, item)
            ]
    for descriptor in found:
        os.set_inheritable(descriptor, False)
    return word, found
