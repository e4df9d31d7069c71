"""A Flask application that keeps and frees known numbers of bytes, in Python and in a C library, with other threads at work."""

import ctypes
import os
import signal
import sys
import threading
import tracemalloc

from flask import Flask

app = Flask(__name__)
KEPT = {}
busy = threading.Event()


def keep():
    block = b"x" * 1_000_000
    return bytearray(block)  # the line that keeps


@app.get("/keep")
def keep_one():
    KEPT["keep"] = keep()
    return "kept"


@app.get("/drop")
def drop():
    KEPT.clear()
    return "dropped"


@app.get("/swap")
def swap():
    """Free what an earlier request kept, and keep less."""
    KEPT["keep"] = bytearray(200_000)  # the line that keeps less
    return "swapped"


@app.get("/native")
def native():
    library = ctypes.CDLL(os.environ["NATIVE_LIBRARY"])
    library.keep_native.argtypes = [ctypes.c_size_t]
    library.keep_native.restype = ctypes.c_void_p
    KEPT["native"] = library.keep_native(777_777)
    return "kept"


def work():
    while busy.is_set():
        [bytes(1000) for _ in range(1000)]


@app.get("/busy")
def start_threads():
    busy.set()
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    return "busy"


@app.get("/quiet")
def stop_threads():
    busy.clear()
    return "quiet"


@app.get("/killed")
def killed():
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@app.get("/fork")
def fork():
    """The child allocates, and uses the memray that it finds loaded."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            KEPT["child"] = bytearray(3_000_000)
            with sys.modules["memray"].Tracker("child.bin"):
                code = 0
        finally:
            os._exit(code)
    return f"forked {os.waitpid(child, 0)[1]}"


@app.get("/trace")
def trace():
    tracemalloc.start(2)
    return "tracing"


@app.get("/tracing")
def tracing():
    return str(tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0)


@app.get("/memray")
def memray():
    """Use memray as an application would, from here to its end."""
    from memray import Tracker

    KEPT["tracker"] = Tracker("own.bin")
    KEPT["tracker"].__enter__()
    return "recording"
