"""A queue worker: ``worker.py PORT`` takes jobs over a socket, the name of one a line, and answers each when it is done."""

import itertools
import socketserver
import sys

from shop.pages import PAGES
from shop.settings import Defects, read

_defects = Defects(read())
_numbers = itertools.count(1)


def handle(kind):
    """One job."""
    done = len(PAGES[kind](next(_numbers)))
    _defects.run(kind)
    return done


class Jobs(socketserver.StreamRequestHandler):
    """One producer's jobs, in order."""

    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"%d\n" % handle(line.decode().strip()))


class Worker(socketserver.TCPServer):
    """One producer at a time."""

    allow_reuse_address = True


if __name__ == "__main__":
    with Worker(("127.0.0.1", int(sys.argv[1])), Jobs) as server:
        server.serve_forever()
