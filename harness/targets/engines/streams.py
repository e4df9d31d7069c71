"""Run one command to its end and keep a bounded part of what it says; a flood neither fills a disk nor stops it."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Sequence

from harness.targets.engines.spec import EngineError, Ran

_CHUNK = 1 << 16
_LOOK_S = 0.02


def run(
    argv: Sequence[str], given: bytes, *, cap_bytes: int, timeout_s: float, enough: bool = False, leaves: bool = False
) -> Ran:
    """``output`` and ``errors`` are cut at ``cap_bytes`` each; what is beyond is read and forgotten. ``enough``: the command is
    killed when it has said that much. ``leaves``: a process that it leaves behind may keep its errors open, so they are over when
    it has ended. Raises EngineError when it cannot be started, or does not end within ``timeout_s``; the cause says which."""
    deadline = time.monotonic() + timeout_s
    try:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
    except OSError as error:
        raise EngineError(f"cannot start {argv[0]}: {error.strerror}") from error
    with process:
        conversation = _Conversation(process, given, cap_bytes)
        try:
            while conversation.goes_on and not (enough and len(conversation.output) >= cap_bytes):
                left_s = deadline - time.monotonic()
                conversation.step(min(left_s, _LOOK_S) if leaves and conversation.output_is_over else left_s, left_s)
                if leaves and conversation.output_is_over and process.poll() is not None:
                    conversation.take_the_rest()
                    break
            if not conversation.goes_on:
                process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"{argv[0]} did not end within {timeout_s:g} s") from error
        finally:
            conversation.close()
            if process.poll() is None:
                process.kill()
    return Ran(process.returncode, bytes(conversation.output), bytes(conversation.errors))


class _Conversation:
    """A process's three pipes. `goes_on` until it has closed its output and its errors."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, cap_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input = process.stdin
        self._output = process.stdout
        self._errors = process.stderr
        self._left = memoryview(given)
        self._cap_bytes = cap_bytes
        self.output, self.errors = bytearray(), bytearray()
        self._kept = {process.stdout.fileno(): self.output, process.stderr.fileno(): self.errors}
        self._selector = selectors.DefaultSelector()
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self._selector.register(process.stderr, selectors.EVENT_READ)
        os.set_blocking(self._input.fileno(), False)
        self._selector.register(self._input, selectors.EVENT_WRITE)
        self._reading = 2

    @property
    def goes_on(self) -> bool:
        return self._reading > 0

    @property
    def output_is_over(self) -> bool:
        return self._output not in {key.fileobj for key in self._selector.get_map().values()}

    def take_the_rest(self) -> None:
        """Errors that are there already."""
        os.set_blocking(self._errors.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while (data := os.read(self._errors.fileno(), _CHUNK)) and len(self.errors) < self._cap_bytes:
                self.errors += data[: self._cap_bytes - len(self.errors)]

    def step(self, wait_s: float, left_s: float) -> None:
        """Raises TimeoutError when nothing happens and no time is left."""
        if left_s <= 0:
            raise TimeoutError
        ready = self._selector.select(max(0.0, wait_s))
        for key, _ in ready:
            if key.fileobj is self._input:
                self._write(key.fd)
            else:
                self._read(key)

    def close(self) -> None:
        self._selector.close()
        with contextlib.suppress(OSError):
            self._input.close()

    def _read(self, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, _CHUNK)
        if not data:
            self._selector.unregister(key.fileobj)
            self._reading -= 1
        kept = self._kept[key.fd]
        kept += data[: self._cap_bytes - len(kept)]

    def _write(self, descriptor: int) -> None:
        try:
            self._left = self._left[os.write(descriptor, self._left[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            self._left = self._left[:0]  # nobody reads any more
        if not self._left:
            self._selector.unregister(self._input)
            self._input.close()
