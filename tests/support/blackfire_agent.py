"""A stand-in for Blackfire's agent: accepts every query, or refuses every one, and keeps what it hears."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OK = b"Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true\n\n"


class StandInAgent:
    """``reply`` is what it says to a hello; ``heard`` what came, one item a connection that said something."""

    def __init__(self) -> None:
        self.address = ""
        self.reply = OK
        self.heard: list[bytes] = []


@contextmanager
def stand_in_agent() -> Iterator[StandInAgent]:
    """The stand-in on a port of the loopback interface."""
    agent = StandInAgent()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\n\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            self.wfile.write(agent.reply)
            if agent.reply == OK:
                head += self.rfile.read()
            agent.heard.append(head)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        agent.address = f"tcp://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield agent
        finally:
            server.shutdown()
            thread.join()
