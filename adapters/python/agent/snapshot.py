"""Looks at the heap in a copy of the process, made by fork: the application pauses for some ms instead of seconds, keeps its
memory shared, and cannot be crashed by a tool that reads the interpreter's internals.

The copy is a grandchild: the application has no child it did not start, and no SIGCHLD for it later. It holds none of the
application's files, so a port is free again when the application ends. Threads do not exist in it; a native library whose
lock another thread held may hang there, and then the alarm ends it. See fork(2), "only the thread that called fork".
"""

import gc
import os
import signal
import sys
import time

from .results import ToolError

LIMIT_S = 120
_FORK_FAILED = 3


def run(recorder, work):
    """Call ``work()`` in a copy of this process and return at once (ns that the fork took). ToolError when it is not possible."""
    return _fork(recorder, work, ())


def ask(recorder, work):
    """Like `run`; returns a descriptor to read what ``work()`` returned (bytes): nothing when it failed. The reader closes it."""
    reading, writing = os.pipe()
    try:
        _fork(recorder, lambda: _write_all(writing, work()), (writing,))
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def answer(fd):
    """All that a copy said (bytes), once it has ended. Closes the descriptor."""
    parts: "list[bytes]" = []
    try:
        while True:
            part = os.read(fd, 1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
    finally:
        os.close(fd)


def _write_all(fd, data):
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _fork(recorder, work, keep):
    _check_memory(recorder)
    started = time.monotonic_ns()
    recorder.copying = True  # for hooks at fork
    try:
        child = os.fork()
        if child == 0:
            _middle(recorder, work, keep)
    except OSError as error:
        raise ToolError("no copy of the process could be made: %s" % error.strerror) from None
    finally:
        recorder.copying = False
    try:
        _, status = os.waitpid(child, 0)
        if status:
            raise ToolError("no copy of the process could be made: the second fork failed")
    except ChildProcessError:
        pass  # the application reaps every child it hears of
    return time.monotonic_ns() - started


def _middle(recorder, work, keep):
    """In the child: make the real copy and be gone, so that the copy is nobody's child."""
    status = _FORK_FAILED
    try:
        if os.fork() == 0:
            _copy(recorder, work, keep)
        status = 0
    except BaseException:
        pass
    finally:
        os._exit(status)


def _copy(recorder, work, keep):
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(LIMIT_S)
        gc.disable()
        sys.settrace(None)
        sys.setprofile(None)
        _prefer_for_oom()
        _close_files({0, 1, 2, recorder.fd, recorder.statm, *keep})
        work()
    except BaseException:
        pass  # whoever waits for the result sees that there is none
    finally:
        os._exit(0)


def _prefer_for_oom():
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    except OSError:
        pass


def _close_files(keep):
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(3, 1024))
    for number in numbers:
        if number not in keep:
            try:
                os.close(number)
            except OSError:
                pass


def _check_memory(recorder):
    """A copy that touches every page needs as much again; where that is not to be had, the application would be the victim."""
    rss = recorder.rss_bytes()
    try:
        with open("/proc/meminfo", "rb") as stream:
            for line in stream:
                if line.startswith(b"MemAvailable:"):
                    available = int(line.split()[1]) * 1024
                    if rss is not None and available < rss + (64 << 20):
                        raise ToolError(
                            "a copy of the process may need %d MiB, and %d MiB are available"
                            % (rss >> 20, available >> 20)
                        )
    except OSError:
        pass
