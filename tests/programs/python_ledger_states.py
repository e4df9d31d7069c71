"""A Python program that takes memory of every kind, one word a line on stdin, one answer a line on stdout.

"told" answers what its allocators say of themselves, by the agent's own reader, whose directory is the first argument.
"""

import ctypes
import json
import mmap
import os
import signal
import sys
import tempfile
import threading

sys.path.insert(0, sys.argv[1])
from allocators import Allocators

MIB = 1 << 20
KEPT, MAPPED, CHILDREN = {}, [], []
STOP = threading.Event()
ASKED = Allocators()
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Node:
    def __init__(self, n):
        self.number, self.text = n, f"node {n}"


def load():
    KEPT["objects"] = [Node(n) for n in range(80_000)]


def blocks():
    """60 MiB in blocks that malloc holds, of which 3 of 4 go: most free memory lies between what stays."""
    many = [bytes(2048) for _ in range(30 * 1024)]
    KEPT["blocks"] = many[::4]


def large():
    """As numpy would take them: blocks with a mapping each, written, and one that never is."""
    KEPT["large"] = [LIBC.malloc(5 * MIB) for _ in range(8)]
    for block in KEPT["large"]:
        ctypes.memset(block, 1, 5 * MIB)
    KEPT["untouched"] = LIBC.malloc(100 * MIB)


def outside():
    """50 MiB that no allocator knows of."""
    area = mmap.mmap(-1, 50 * MIB, flags=ANONYMOUS)
    for at in range(0, 50 * MIB, 4096):
        area[at] = 1
    MAPPED.append(area)


def drop():
    KEPT["objects"] = KEPT["objects"][::10]


def threads():
    """Twenty, each with an arena of its own in which most is free again."""
    ready = threading.Barrier(21)

    def work():
        many = [bytes(1500) for _ in range(1000)]
        kept = many[::50]
        del many
        ready.wait()
        STOP.wait()
        del kept

    for _ in range(20):
        threading.Thread(target=work, daemon=True).start()
    ready.wait()


def file():
    with tempfile.TemporaryFile() as data:
        data.write(b"y" * (20 * MIB))
        data.flush()
        area = mmap.mmap(data.fileno(), 0, prot=mmap.PROT_READ)
        sum(area[at] for at in range(0, len(area), 4096))
        MAPPED.append(area)


def shared():
    area = mmap.mmap(-1, 10 * MIB)
    area[:] = b"z" * len(area)
    MAPPED.append(area)


def fork():
    """Four workers; each writes to a part of what it was born with and takes some of its own."""
    for n in range(4):
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            for node in KEPT["objects"][n::8]:
                node.number += 1
            KEPT["own"] = [Node(k) for k in range(10_000 * n)]
            os.write(writing, b"x")
            signal.pause()
        CHILDREN.append(pid)
        os.read(reading, 1)


def end():
    for pid in CHILDREN:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


ACTIONS = {f.__name__: f for f in (load, blocks, large, outside, drop, threads, file, shared, fork, end)}
ACTIONS["trim"] = lambda: LIBC.malloc_trim(0)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


say("ready")
for line in sys.stdin:
    word = line.strip()
    if word == "told":
        say(json.dumps(ASKED.read()[0]))
    else:
        ACTIONS[word]()
        say("ok")
