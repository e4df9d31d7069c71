"""A Python program that brings its memory into known states, one word a line on stdin, one answer a line on stdout.

"rest" asks pymalloc and malloc, stops the process before anything else is allocated, and says after SIGCONT what they said: both
questions and the stop are calls with one argument of the same type, so that ctypes takes the same memory for each.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from ctypes import POINTER, byref, c_int, c_size_t, c_void_p

from _harness_agent import allocators

KEPT = []
ORDERS = int(signal.SIGRTMAX) - 9
libc = ctypes.PyDLL(None)
libc.open_memstream.restype, libc.open_memstream.argtypes = c_void_p, (POINTER(c_void_p), POINTER(c_size_t))
libc.fclose.argtypes = (c_void_p,)
libc.mallinfo2.restype = allocators._Mallinfo2
stats, stop = ctypes.pythonapi["_PyObject_DebugMallocStats"], libc["raise"]
for function in (stats, stop):
    function.restype, function.argtypes = c_int, (c_void_p,)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def rest():
    text, size = c_void_p(), c_size_t()
    stream = libc.open_memstream(byref(text), byref(size))
    stats(stream)  # the buffer is as large as it will be
    steps = ((stats, stream), (stop, int(signal.SIGSTOP)))
    info = libc.mallinfo2()
    for step, argument in steps:
        step(argument)
    libc.fclose(stream)
    said = ctypes.string_at(text.value, size.value)
    second = said[said.index(b"Small block threshold", 1) :]
    glibc = {"used": info.uordblks + info.fsmblks, "system": info.arena, "mmapped": info.hblkhd}
    return json.dumps({"pymalloc": allocators.pymalloc_values(second), "glibc": glibc})


def fill():
    KEPT.extend({"n": n, "text": str(n) * 3} for n in range(30_000))
    KEPT.extend(bytes(2000 + n % 700) for n in range(3_000))
    del KEPT[::3]


def fragment():
    """Blocks of 3 kB, one in twenty of which stays: pages that malloc keeps, and can give back."""
    blocks = [bytearray(3000) for _ in range(20_000)]
    KEPT.append(blocks[::20])


def cycles():
    gc.collect()
    gc.disable()
    for _ in range(20_000):
        cycle = {}
        cycle["self"] = cycle


ACTIONS = {
    "fill": fill,
    "fragment": fragment,
    "cycles": cycles,
    "reset": lambda: signal.signal(ORDERS, signal.SIG_DFL),
    "ignore": lambda: signal.signal(ORDERS, signal.SIG_IGN),
}

say("ready")
for line in sys.stdin:
    word = line.strip()
    if word == "rest":
        say(rest())
    elif word == "exec":
        say("ok")
        os.execv("/bin/cat", ["cat"])
    else:
        ACTIONS[word]()
        say("ok")
