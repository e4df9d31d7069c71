"""The life of the sampler: hello, start, then sweeps on the grid and answers to commands, until stop or end of file."""

from __future__ import annotations

import os
import select
import time
from typing import Any, Callable

from . import protocol
from .details import boot_on_monotonic_ns
from .protocol import Command, Container, Fast, Floor, Match, ProtocolError, Roots, Start, Stop
from .schedule import Due, Grid
from .sweep import Sweeper

_CHUNK = 1 << 16


class CommandReader:
    """Commands from a file descriptor; `closed` once nothing more will come."""

    def __init__(self, descriptor: int, decode: Callable[[bytes], Any] = protocol.decode) -> None:
        self._descriptor = descriptor
        self._decode = decode
        self._rest = b""
        self.closed = False

    def wait(self, timeout_s: float | None) -> list[Any]:
        """What has arrived, after waiting for at most ``timeout_s`` (None: as long as it takes). Raises ProtocolError."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        data = os.read(self._descriptor, _CHUNK)
        if not data:
            self.closed = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > protocol.LINE_CAP_BYTES:
            raise ProtocolError("a line over {} bytes".format(protocol.LINE_CAP_BYTES))
        return [self._decode(line) for line in lines if line.strip()]


class Loop:
    """One run of the sampler over a pair of pipes."""

    def __init__(self, input_descriptor: int, output_descriptor: int) -> None:
        self._commands = CommandReader(input_descriptor)
        self._output = output_descriptor
        self._stopped = False
        self._sweeper: Sweeper | None = None
        self._grid: Grid | None = None
        self._fast: Grid | None = None
        self._ticks = 0
        self._missed = 0

    def run(self) -> None:
        """Until told to stop. Raises ProtocolError, and BrokenPipeError when nobody listens any more."""
        ticks = os.sysconf("SC_CLK_TCK")
        self._write(protocol.hello_line(os.getpid(), time.monotonic_ns(), ticks, boot_on_monotonic_ns()))
        try:
            while not (self._stopped or self._commands.closed):
                for command in self._commands.wait(self._until_next_s()):
                    self._obey(command)
                self._sample_fast_if_due()
                self._sweep_if_due()
        finally:
            if self._sweeper is not None:
                self._sweeper.close()
        self._write(protocol.bye_line(time.monotonic_ns(), self._ticks, self._missed, time.process_time_ns()))

    def _until_next_s(self) -> float | None:
        if self._grid is None:
            return None
        next_ns = self._grid.next_ns if self._fast is None else min(self._grid.next_ns, self._fast.next_ns)
        return max(0, next_ns - time.monotonic_ns()) / 1e9

    def _obey(self, command: Command) -> None:
        if isinstance(command, Stop):
            self._stopped = True
        elif isinstance(command, Start):
            if self._sweeper is not None:
                raise ProtocolError("started twice")
            self._sweeper = Sweeper(command, frozenset((os.getpid(), os.getppid())))
            self._grid = Grid(time.monotonic_ns(), command.interval_ns)
        elif self._sweeper is None:
            raise ProtocolError("the first command must be start")
        elif isinstance(command, Roots):
            for root in command.add:
                self._sweeper.add_root(root)
        elif isinstance(command, Match):
            self._sweeper.add_match(command)
        elif isinstance(command, Container):
            self._sweeper.add_container(command)
        elif isinstance(command, Fast):
            self._change_fast(command)
        elif isinstance(command, Floor):
            self._sweep(time.monotonic_ns(), Due(late_ns=0, missed=0), command)

    def _change_fast(self, command: Fast) -> None:
        assert self._sweeper is not None
        self._fast = None
        self._sweeper.stop_fast()
        if command.interval_ns is not None and self._sweeper.start_fast():
            self._fast = Grid(time.monotonic_ns(), command.interval_ns)

    def _sample_fast_if_due(self) -> None:
        if self._fast is not None and self._sweeper is not None and self._fast.take(time.monotonic_ns()) is not None:
            self._sweeper.fast()

    def _sweep_if_due(self) -> None:
        if self._grid is not None and not self._stopped:
            now_ns = time.monotonic_ns()
            due = self._grid.take(now_ns)
            if due is not None:
                self._sweep(now_ns, due)

    def _sweep(self, now_ns: int, due: Due, floor: Floor | None = None) -> None:
        assert self._sweeper is not None
        data = self._sweeper.sweep(now_ns, due, *(() if floor is None else floor))
        self._ticks += 1
        self._missed += due.missed
        self._write(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._output, view) :]
