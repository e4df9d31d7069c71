"""One thread, one loop: read every child's lines, run periodic work, and wait for whatever the session waits for.

The session is a straight story (launch, round, round, ...); each of its waits is `Pump.until`, which keeps samples, spans and
records flowing to disk meanwhile. Ctrl-C and SIGTERM become `Interrupted` at the next wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from harness.errors import HarnessError

_LINE_CAP = (1 << 20) + 1024  # a line of a program elsewhere, with whose it is
_PIPE_BYTES = 1 << 20
_STEP_S = 0.1
_PERIODIC_S = 0.25

Handler = Callable[[Mapping[str, Any]], None]


class Speaker(Protocol):
    """A program of ours that is spoken to in JSON lines: a process here, or one on another host."""

    complaints: bytes

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        ...

    def listen(self, pump: Pump, handler: Handler, gone: Callable[[], None]) -> None:
        """Have its messages handled from now on; ``gone`` is called once, when there will be no more."""
        ...

    def send(self, **message: object) -> None: ...
    def hang_up(self) -> None: ...
    def kill(self) -> None: ...
    def reap(self, timeout_s: float = 2.0) -> None: ...


class Interrupted(Exception):  # noqa: N818  # not an error: the user asked
    """SIGINT or SIGTERM arrived; ``signal_number`` says which."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


class Child:
    """One of our own processes, spoken to in JSON lines. It ends itself when its stdin reaches end of file."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._buffer = b""
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=env
        )
        self.complaints = b""  # the tail of its stderr
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):  # an unprivileged user may be over its pipe quota
            fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self.process.poll() is not None

    def listen(self, pump: Pump, handler: Handler, gone: Callable[[], None]) -> None:
        """Have the pump read it."""
        pump.add(self, handler, gone)

    def kill(self) -> None:
        """At once."""
        self.process.kill()

    def send(self, **message: object) -> None:
        """Send one line; a child that is gone is noticed by its end of file, not here."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def hang_up(self) -> None:
        """Close its stdin, which tells it to finish."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()

    def reap(self, timeout_s: float = 2.0) -> None:
        """Wait until it has ended, once it has closed its stdout or was killed: a moment."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)

    def lines(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Complete messages out of newly read bytes; what is not a JSON object is an error of ours."""
        self._buffer += data
        *complete, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _LINE_CAP:
            raise HarnessError(f"{self.name} sent a line over {_LINE_CAP} bytes")
        for line in complete:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                raise HarnessError(f"{self.name} sent something that is not a message: {line[:80]!r}")
            yield message


class Pump:
    """Owns the children's pipes. Use as a context manager: signal handlers are restored on exit."""

    def __init__(self, periodic: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[str, Handler] = {}
        self._gone: dict[str, Callable[[], None]] = {}
        self._periodic = periodic
        self._next_periodic = 0.0
        self._interrupt: int | None = None
        self._shielded = False
        self._pressed = 0  # interrupts while shielded, not yet passed on
        self._previous: dict[int, Any] = {}
        self.urgent: Callable[[], None] | None = None  # called when a second interrupt arrives while shielded
        self.trouble: HarnessError | None = None  # the first error that was held back while shielded

    def __enter__(self) -> Pump:
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, ("wake", None))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a job in the background of a script
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        heard = [child for _, child in (key.data for key in self._selector.get_map().values()) if child is not None]
        self._selector.close()
        for child in heard:  # its last words nobody waits for
            child.process.stdout.close()
            child.process.stderr.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._interrupt is None or not self._shielded:
            self._interrupt = number
        else:
            self._pressed += 1
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"!")

    def wake(self, *_: object) -> None:
        """Have `until` look at its condition now; for other threads, such as a future's callback."""
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            os.write(self._wake_write, b"!")

    def shield(self) -> None:
        """The session is cleaning up: nothing may cut that short any more.

        An interrupt no longer raises, a second one calls ``urgent``; errors of handlers and periodic work are kept in
        ``trouble`` and the wait goes on.
        """
        self._shielded = True

    def add(self, child: Child, handler: Handler, gone: Callable[[], None]) -> None:
        """Dispatch the child's messages to ``handler``; call ``gone`` once when its stdout ends."""
        self._handlers[child.name] = handler
        self._gone[child.name] = gone
        assert child.process.stdout is not None
        assert child.process.stderr is not None
        self._selector.register(child.process.stdout, selectors.EVENT_READ, ("out", child))
        self._selector.register(child.process.stderr, selectors.EVENT_READ, ("err", child))

    def until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Pump until ``condition()``; False when ``timeout_s`` passed first. Raises Interrupted, or what handlers raise."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self._interrupt is not None and not self._shielded:
                raise Interrupted(self._interrupt)
            if condition():
                return True
            left = _STEP_S if deadline is None else min(_STEP_S, deadline - time.monotonic())
            if left <= 0:
                return False
            self._step(left)

    def _step(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            kind, child = key.data
            if kind == "wake":
                os.read(self._wake_read, 4096)
            else:
                self._guarded(lambda: self._read(kind, child, key.fileobj))  # noqa: B023  # called at once
        while self._pressed and self.urgent is not None:
            self._pressed -= 1
            self.urgent()
        if time.monotonic() >= self._next_periodic:
            self._next_periodic = time.monotonic() + _PERIODIC_S
            self._guarded(self._periodic)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except HarnessError as error:
            if not self._shielded:
                raise
            self.trouble = self.trouble or error

    def _read(self, kind: str, child: Child, pipe: Any) -> None:
        try:
            data = os.read(pipe.fileno(), 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(pipe)
            pipe.close()
            if kind == "out":
                self._gone.pop(child.name)()
            return
        if kind == "err":
            child.complaints = (child.complaints + data)[-4096:]
            return
        handler = self._handlers[child.name]
        for message in child.lines(data):
            handler(message)


def own_module(name: str) -> list[str]:
    """Command line that runs one of our modules with this interpreter; nothing is imported from the current directory."""
    return [sys.executable, "-P", "-m", name]
