"""Open-loop load: requests leave on a grid whatever the answers do, and are timed from the moment they should have left.

    python -I -S client.py PORT RATE SECONDS

Prints one latency in ns a line. A connection carries one request at a time; more are opened as needed.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def load(port: int, rate: float, seconds: float) -> list[int]:
    """Latencies in ns, in the order of the answers."""
    ready = selectors.SelectSelector()  # the only one whose timeout is finer than 1 ms
    idle = [connect(port) for _ in range(8)]
    latencies: list[int] = []
    count = int(rate * seconds)
    begun_ns = time.monotonic_ns()
    sent = 0
    while len(latencies) < count:
        due_ns = begun_ns + int(sent * 1e9 / rate)
        if sent < count and time.monotonic_ns() >= due_ns:
            connection = idle.pop() if idle else connect(port)
            connection.sendall(REQUEST)
            ready.register(connection, selectors.EVENT_READ, due_ns)
            sent += 1
            continue
        timeout_s = max(0.0, (due_ns - time.monotonic_ns()) / 1e9) if sent < count else 10.0
        for key, _ in ready.select(timeout_s):
            answered = key.fileobj
            assert isinstance(answered, socket.socket)
            if not answered.recv(4096):
                raise ConnectionError("the server closed a connection")
            latencies.append(time.monotonic_ns() - key.data)
            ready.unregister(answered)
            idle.append(answered)
    return latencies


if __name__ == "__main__":
    print(*load(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])), sep="\n")
