"""The end of the line at home: ``python -m harness.sampling.remote.line``, a process of its own between the session and a keeper.

It runs the command that connects (``ssh ... link``), and again when that ends or falls silent, so that nobody else has to
know whether the line is up. What was not confirmed is sent again, by both ends, and nothing arrives twice. One JSON object a
line:

====  =====================================================  ====================================================================
to    ``{"argv":[...],"ping_s":S,"silence_s":S,"give_up_s":S,"end_s":S}``  first line
to    ``{"to":"sampler","m":{...}}``                          a line for a program; ``"to":"-"``: an order to the keeper
to    end of file                                            the run is over: have the keeper end, wait for it, leave
from  ``{"k":"up","t":NS}``                                  the line works, and the clocks have been compared
from  ``{"k":"down","t":NS,"why":"..."}``                    it broke; ``t`` is when the other end was last heard
from  ``{"k":"clock","before":NS,"there":NS,"wall":NS,"after":NS}``  there it was this time between these two times here
from  ``{"k":"said","by":"sampler","m":{...}}``              a line of a program
from  ``{"k":"said","by":"-","m":{"k":"ended","name":"sampler","code":N,"complaints":"..."}}``  news from the keeper
from  ``{"k":"over"}``                                       the keeper has ended everything and removed its files
from  ``{"k":"gone","why":"..."}``                           the line is down for good; exit code 3 follows
====  =====================================================  ====================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional

from . import frames
from .frames import Ack, FrameError, Hello, Message, Over, Pong
from .link import NOBODY
from .spool import Spool

GONE = 3
_READ = 1 << 16
_AHEAD = 4 << 20  # bytes the session has not taken yet, before the line is not read from any more
_FIRST_PINGS = 8
_ACK_BYTES = 128 << 10
_CLOCK_EVERY_S = 10.0
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_COMPLAINTS = 2048
_KUBECTL = "command terminated with exit code "  # what kubectl adds to what a command has said


class Order(NamedTuple):
    """The first line. Times in s."""

    argv: List[str]
    ping_s: float = 2.0
    silence_s: float = 10.0  # without a word from the keeper: begin again
    give_up_s: float = 330.0  # without a connection: the keeper has ended everything by now
    end_s: float = 90.0  # how long the keeper may take to end everything


class Reading(NamedTuple):
    """One look at the other clock. ``there`` was read between ``before`` and ``after``."""

    before: int
    there: int
    wall: int
    after: int

    @property
    def round_trip(self) -> int:
        """Twice the error of taking the middle."""
        return self.after - self.before


class _Pipe:
    """Bytes on their way into a descriptor that may not take them all at once."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting = b""
        os.set_blocking(descriptor, False)

    def put(self, data: bytes) -> None:
        """Raises OSError when nobody takes it any more."""
        self.waiting += data
        self.flush()

    def flush(self) -> None:
        """As far as it goes now."""
        try:
            while self.waiting:
                self.waiting = self.waiting[os.write(self.descriptor, self.waiting[: 1 << 20]) :]
        except BlockingIOError:
            pass


class Line:
    """Both conversations: with the session on standard input and output, and over the line."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._session = _Pipe(1)
        self._session_here = True
        self._from_session = b""
        self._spool = Spool(None)
        self._child: Optional[subprocess.Popen[bytes]] = None
        self._to_keeper: Optional[_Pipe] = None
        self._complaints = b""
        self._mute = False  # its standard error has ended
        self._splitter = frames.Splitter()
        self._greeted = False
        self._up = False
        self._sent = 0
        self._received = 0
        self._unconfirmed = 0  # bytes received since the last ack
        self._acked = 0
        self._heard = time.monotonic()
        self._alive_at = time.monotonic()  # last word from the keeper, over any connection
        self._failures = 0
        self._next_try = 0.0
        self._token = 0
        self._pinged: Dict[int, int] = {}
        self._next_ping = 0.0
        self._pongs = 0  # over this connection
        self._best: Optional[Reading] = None
        self._next_clock = 0.0
        self._ending: Optional[float] = None
        self._over = False
        self._gone = ""

    def run(self) -> int:
        """Until the keeper is done or gone; the exit code."""
        while not (self._over or self._gone):
            self._turn()
        if self._over:
            self._tell(k="over")
        else:
            self._tell(k="gone", why=self._gone)
        self._stop_child()
        os.set_blocking(1, True)
        with contextlib.suppress(OSError):
            self._session.flush()
        return 0 if self._over else GONE

    def _turn(self) -> None:
        now = time.monotonic()
        if self._child is None and now >= self._next_try:
            self._connect()
        with selectors.DefaultSelector() as selector:
            if self._session_here:
                selector.register(0, selectors.EVENT_READ, self._hear_session)
            if self._session.waiting:
                selector.register(1, selectors.EVENT_WRITE, self._flush_session)
            if self._child is not None:
                assert self._child.stdout
                assert self._child.stderr
                assert self._to_keeper
                if len(self._session.waiting) < _AHEAD:
                    selector.register(self._child.stdout, selectors.EVENT_READ, self._hear_keeper)
                if not self._mute:
                    selector.register(self._child.stderr, selectors.EVENT_READ, self._hear_complaint)
                if self._to_keeper.waiting:
                    selector.register(self._to_keeper.descriptor, selectors.EVENT_WRITE, self._flush_keeper)
            child = self._child
            for key, _ in selector.select(self._until_next_s(now)):
                if key.fd in (0, 1) or self._child is child:
                    key.data()
        self._look_at_the_clock()

    def _until_next_s(self, now: float) -> float:
        if self._child is None:
            return min(max(self._next_try - now, 0.0), 0.5)
        return min(max(self._next_ping - now, 0.0), 0.5) if self._greeted else 0.5

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._greeted and now >= self._next_ping and self._pongs >= _FIRST_PINGS:
            self._ping()
        if self._child is not None and now - self._heard > self._patience_s():
            self._disconnect("nothing was heard for {:.0f} s".format(self._patience_s()))
        if now - self._alive_at > self._order.give_up_s:
            self._gone = "no connection for {:.0f} s".format(self._order.give_up_s)
        if self._ending is not None and now - self._ending > self._order.end_s:
            self._gone = "the other end did not finish within {:.0f} s".format(self._order.end_s)

    def _patience_s(self) -> float:
        """A new connection may take longer: names are looked up, keys exchanged, jump hosts passed."""
        return self._order.silence_s if self._greeted else max(self._order.silence_s, 20.0)

    # -- the session ---------------------------------------------------------------------------------------------------

    def _hear_session(self) -> None:
        data = os.read(0, _READ)
        if not data:
            self._end()
            return
        *lines, self._from_session = (self._from_session + data).split(b"\n")
        for line in lines:
            told = json.loads(line.decode())
            said = json.dumps(told["m"], separators=(",", ":")).encode()
            self._spool.add(str(told["to"]).encode(), said)
        self._send()

    def _end(self) -> None:
        self._session_here = False
        if self._ending is None:
            self._ending = time.monotonic()
            self._spool.add(frames.KEEPER, b'{"cmd":"end"}')
            self._send()

    def _tell(self, **message: object) -> None:
        self._tell_line(json.dumps(message, separators=(",", ":")).encode())

    def _tell_line(self, line: bytes) -> None:
        try:
            self._session.put(line + b"\n")
        except OSError:  # nobody listens any more
            self._session.waiting = b""
            self._end()

    def _flush_session(self) -> None:
        try:
            self._session.flush()
        except OSError:
            self._session.waiting = b""
            self._end()

    # -- the connection ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._child = subprocess.Popen(
            self._order.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._child.stdin
        assert self._child.stdout
        assert self._child.stderr
        os.set_blocking(self._child.stdout.fileno(), False)
        os.set_blocking(self._child.stderr.fileno(), False)
        self._to_keeper = _Pipe(self._child.stdin.fileno())
        self._complaints = b""
        self._mute = False
        self._splitter = frames.Splitter()
        self._greeted = self._up = False
        self._pongs = 0
        self._pinged.clear()
        self._heard = time.monotonic()
        self._put(frames.hello(self._received))

    def _disconnect(self, why: str, code: Optional[int] = None) -> None:
        if self._child is None:
            return
        self._stop_child()
        if self._up:
            self._tell(k="down", t=int(self._heard * 1e9), why=why)
        if code == NOBODY:
            self._gone = why
        self._failures = 0 if self._up else self._failures + 1
        self._next_try = time.monotonic() + _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._greeted = self._up = False

    def _stop_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass
        self._to_keeper = None

    def _hear_complaint(self) -> None:
        assert self._child is not None
        assert self._child.stderr
        data = os.read(self._child.stderr.fileno(), _READ)
        self._complaints = (self._complaints + data)[-_COMPLAINTS:]
        self._mute = not data

    def _lost(self) -> None:
        """The command has closed its output: why, and how it ends, is known in a moment."""
        child = self._child
        assert child is not None
        try:
            code: Optional[int] = child.wait(1.0)
        except subprocess.TimeoutExpired:
            code = None
        try:
            while not self._mute:
                self._hear_complaint()
        except BlockingIOError:
            pass
        lines = self._complaints.decode("utf-8", "replace").strip().splitlines()
        said = [line for line in lines if not line.startswith(_KUBECTL)]
        self._disconnect(said[-1] if said else "the connection ended", code)

    def _hear_keeper(self) -> None:
        assert self._child is not None
        assert self._child.stdout
        data = os.read(self._child.stdout.fileno(), _READ)
        after = time.monotonic_ns()
        if not data:
            self._lost()
            return
        self._heard = time.monotonic()
        try:
            for frame in self._splitter.feed(data):
                self._on_frame(frame, after)
        except FrameError as error:
            self._disconnect("the other end is no keeper: {}".format(error))
            return
        self._alive_at = self._heard
        self._unconfirmed += len(data)
        if self._unconfirmed > _ACK_BYTES:
            self._confirm()

    def _on_frame(self, frame: Any, after: int) -> None:
        if isinstance(frame, Message):
            if frame.number > self._received + 1:
                raise FrameError("message {} after {}".format(frame.number, self._received))
            if frame.number > self._received:
                self._received = frame.number
                if not _is_object(frame.line):
                    self._gone = "the other end said something that is no message"
                    return
                # Of a name that comes twice in JSON the last one counts: the line cannot pass for another kind of message.
                self._tell_line(b'{"m":%s,"k":"said","by":"%s"}' % (frame.line, frame.program))
        elif isinstance(frame, Pong):
            self._on_pong(frame, after)
        elif isinstance(frame, Ack):
            self._check_sent(frame.last)
            self._spool.confirm(frame.last)
        elif isinstance(frame, Hello):
            if self._greeted:
                raise FrameError("a second greeting")
            self._check_sent(frame.last)
            self._greeted = True
            self._sent = frame.last
            self._spool.confirm(frame.last)
            self._ping()
            self._send()
        elif isinstance(frame, Over):
            self._over = True

    def _check_sent(self, number: int) -> None:
        """It cannot have what was never sent: then this is not the keeper of this run."""
        if number > self._spool.last:
            raise FrameError("it has message {} of {}".format(number, self._spool.last))

    def _send(self) -> None:
        if self._greeted:
            for number, piece in self._spool.after(self._sent):
                self._sent = number
                self._put(piece)

    def _put(self, data: bytes) -> None:
        if self._to_keeper is not None:
            try:
                self._to_keeper.put(data)
            except OSError:  # its end is about to be seen on its output, with what it has to say
                self._to_keeper.waiting = b""

    def _flush_keeper(self) -> None:
        self._put(b"")

    def _confirm(self) -> None:
        self._unconfirmed = 0
        if self._received > self._acked:
            self._acked = self._received
            self._put(frames.ack(self._received))

    # -- the clock -----------------------------------------------------------------------------------------------------

    def _ping(self) -> None:
        self._confirm()
        self._token += 1
        self._next_ping = time.monotonic() + self._order.ping_s
        self._pinged[self._token] = time.monotonic_ns()
        self._put(frames.ping(self._token))

    def _on_pong(self, pong: Pong, after: int) -> None:
        before = self._pinged.pop(pong.token, None)
        if before is None:
            return
        self._pongs += 1
        reading = Reading(before, pong.monotonic_ns, pong.wall_ns, after)
        if self._best is None or reading.round_trip < self._best.round_trip:
            self._best = reading
        if self._pongs < _FIRST_PINGS:
            self._ping()
            return
        now = time.monotonic()
        if not self._up or now >= self._next_clock:
            self._next_clock = now + _CLOCK_EVERY_S
            best, self._best = self._best, None
            self._tell(k="clock", **best._asdict())
        if not self._up:
            self._up = True
            self._failures = 0
            self._tell(k="up", t=after)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode()), dict)
    except (ValueError, RecursionError):
        return False


def main() -> int:
    """Exit code 0 when the keeper has ended everything, 3 when it could not be reached any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session handles it, and will close the pipe
    first = b""
    while not first.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return 0
        first += data
    return Line(Order(**json.loads(first.decode()))).run()


if __name__ == "__main__":
    sys.exit(main())
