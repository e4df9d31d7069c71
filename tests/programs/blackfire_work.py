"""What the applications for Blackfire's probe do: a spike that is gone when its function returns, and a leak of 1 KiB objects."""

import os
import sys

KEPT = []


def big(n):
    return [b"x" * 1000 + str(i).encode() for i in range(n)]


def transient():
    rows = big(4000)
    size = len(rows)
    del rows
    return size


def leak(n):
    KEPT.append([bytearray(1024) for _ in range(n)])


def report():
    transient()
    leak(1000)
    return b"ok"


def boom():
    transient()
    raise RuntimeError("boom")


def forking():
    """A child that works, and leaves as forked children do; whether it and its parent are being profiled."""
    is_active = sys.modules["blackfire.profiler"].is_session_active
    child = os.fork()
    if child == 0:
        leak(10)
        os._exit(8 if is_active() else 7)
    _, status = os.waitpid(child, 0)
    leak(1000)
    return b"%d %d" % (os.WEXITSTATUS(status), is_active())


def tracing():
    import tracemalloc

    return b"on" if tracemalloc.is_tracing() else b"off"


def route(path):
    if path == "/boom":
        return boom()
    if path == "/trace":
        import tracemalloc

        tracemalloc.start()
        return b"tracing"
    if path == "/tracing":
        return tracing()
    if path == "/fork":
        return forking()
    if path == "/faults":
        import faulthandler

        return b"on" if faulthandler.is_enabled() else b"off"
    if path == "/modules":
        return " ".join(sorted(m for m in sys.modules if "blackfire" in m)).encode()
    return report()
