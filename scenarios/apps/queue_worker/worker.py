"""A queue worker: ``worker.py PORT`` takes jobs over a socket, one JSON object a line, and answers each with its result."""

import json
import socketserver
import sys
from collections import Counter


def index(text: str) -> dict[str, int]:
    """The job: how often each word occurs."""
    return Counter(text.lower().split())


class Jobs(socketserver.StreamRequestHandler):
    """One producer's jobs, in order."""

    def handle(self) -> None:
        for line in self.rfile:
            job = json.loads(line)
            answer = {"id": job["id"], "words": index(job["text"])}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Worker(socketserver.TCPServer):
    """One producer at a time."""

    allow_reuse_address = True


if __name__ == "__main__":
    with Worker(("127.0.0.1", int(sys.argv[1])), Jobs) as server:
        server.serve_forever()
