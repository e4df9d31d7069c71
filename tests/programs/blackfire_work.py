"""What the applications for Blackfire's probe do: a spike that is gone when its function returns, and a leak of 1 KiB objects."""

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
    if path == "/modules":
        return " ".join(sorted(m for m in sys.modules if "blackfire" in m)).encode()
    return report()
