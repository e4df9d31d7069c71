"""A threaded HTTP server of known behaviour, on loopback or where LISTEN says. Usage: plain_server.py PORT

/ok answers at once; /slow after 0.3 s; /keep?n=BYTES retains that much per request; /die kills the process; /pid answers the pid.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEPT: list[bytes] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for a delayed ACK, 40 ms each time

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/slow":
            time.sleep(0.3)
        elif parts.path == "/keep":
            KEPT.append(os.urandom(int(parse_qs(parts.query)["n"][0])))
        elif parts.path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer((os.environ.get("LISTEN", "127.0.0.1"), int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
