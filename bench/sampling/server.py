"""The service whose latency is measured: one process, one thread, memory that is large and in use.

    python -I -S server.py MEMORY_MIB

Prints its port once every page is present; ends with its stdin. Each request, as one of a web application, reads and writes
pages all over the memory, and takes and gives back 1 MiB (mmap, page faults, munmap: what waits for the mmap lock).
"""

from __future__ import annotations

import mmap
import random
import selectors
import socket
import sys

PAGE = mmap.PAGESIZE
TOUCHES = 200
SCRATCH_BYTES = 1 << 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def work(memory: mmap.mmap, chance: random.Random) -> None:
    """What one request does to memory."""
    pages = len(memory) // PAGE
    for _ in range(TOUCHES):
        memory[int(chance.random() * pages) * PAGE] = 1
    with mmap.mmap(-1, SCRATCH_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as scratch:
        for offset in range(0, SCRATCH_BYTES, 8 * PAGE):
            scratch[offset] = 1


def serve(memory_mib: int) -> None:
    """One request at a time, until stdin closes."""
    memory = mmap.mmap(-1, memory_mib << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for offset in range(0, len(memory), PAGE):
        memory[offset] = 1
    chance = random.Random(1)
    ready = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        ready.register(sys.stdin, selectors.EVENT_READ)
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    accepted, _ = listener.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(accepted, selectors.EVENT_READ)
                    continue
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection.recv(4096):  # a request is one small packet on loopback
                    work(memory, chance)
                    connection.sendall(ANSWER)
                else:
                    ready.unregister(connection)
                    connection.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
