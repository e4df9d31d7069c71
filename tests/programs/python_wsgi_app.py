"""A WSGI application of known memory behaviour; standard library only, so it runs on every Python from 3.8 on.

As a program it serves itself with wsgiref on a free port of 127.0.0.1 and prints ``port N``.
"""

import os
import sys
import threading
import time

KEPT = []
KEEP_BYTES = 1_000_000
KEEP_LINE = 0  # set below, where the line is
inside = threading.Semaphore(0)
release = threading.Event()


def keep():
    """Retain a million bytes."""
    block = b"x" * KEEP_BYTES
    kept = bytearray(block)  # the line that keeps
    del block
    KEPT.append(kept)
    return b"kept"


KEEP_LINE = keep.__code__.co_firstlineno + 3


def lines(count):
    """A generator with a known number of executions for each line."""
    for number in range(count):
        block = bytearray(2_000_000)
        KEPT.append(block)  # freed memory would be reused, and its pages would not show a second time
        yield b"%d\n" % number


class Closing:
    """A body that notes its close in the log of the process."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        KEPT.append("closed")


class Sized(Closing):
    """A body of one chunk with a length, so that the server sends Content-Length."""

    def __len__(self):
        return 1


def busy(seconds):
    end = time.monotonic() + seconds
    trash = []
    while time.monotonic() < end:
        trash = [bytes(1000) for _ in range(100)]
    return b"busy %d" % len(trash)


def fork_and_wait():
    """Fork during the request; the child leaves without a trace."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return b"forked"


def closed_fds():
    """What a daemon does: close everything it may have inherited but this connection, then open files of its own."""
    mine = {0, 1, 2}
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115  (Path.readlink came with 3.9)
        except OSError:
            continue
        if fd not in mine and not target.startswith("socket:"):
            os.close(fd)
    path = os.environ["VICTIM_FILE"]
    fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(8)]
    KEPT.append(fds)
    return b"closed"


PLAIN = {
    "/": lambda: b"hello",
    "/keep": keep,
    "/busy": lambda: busy(0.3),
    "/fork": fork_and_wait,
    "/close-fds": closed_fds,
    "/pid": lambda: b"%d" % os.getpid(),
    "/memory_profiler": lambda: b"yes" if "memory_profiler" in sys.modules else b"no",
}


def hold():
    """Stay in flight until /release; the file ``held`` in the working directory says so too."""
    with open("held", "w"):
        inside.release()
    release.wait(20)
    return b"held"


def release_all():
    release.set()
    return b"released"


PLAIN["/hold"] = hold
PLAIN["/release"] = release_all
PLAIN["/wait-held"] = lambda: b"yes" if inside.acquire(timeout=20) else b"no"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/fail":
        raise RuntimeError("planted")
    if path == "/lines":
        start_response("200 OK", headers)
        return lines(3)
    if path == "/closing":
        start_response("200 OK", headers)
        return Closing([b"a", b"b"])
    if path == "/sized":
        start_response("200 OK", headers)
        return Sized([b"0123456789"])
    if path == "/file":
        start_response("200 OK", headers)
        stream = open(__file__, "rb")  # noqa: SIM115  (the server closes it)
        return environ["wsgi.file_wrapper"](stream) if "wsgi.file_wrapper" in environ else [stream.read()]
    if path == "/headers":
        start_response("200 OK", headers)
        names = sorted(name for name in environ if name.startswith("HTTP_X_"))
        return [",".join(names).encode()]
    answer = PLAIN.get(path)
    start_response("200 OK" if answer else "404 Not Found", headers)
    return [answer() if answer else b"nothing here"]


if __name__ == "__main__":
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, format, *args):  # noqa: A002  (the name is the library's)
            pass

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    sys.stdout.write(f"port {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
