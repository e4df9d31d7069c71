"""A queue worker: ``worker.py PORT`` takes jobs over a socket, the name of one a line, and answers each when it is done."""

import itertools
import socketserver
import sys

from shop.pages import PAGES
from shop.settings import Defects, read

_defects = Defects(read())
_numbers = itertools.count(1)


def _done(kind):
    size = len(PAGES[kind](next(_numbers)))
    _defects.run(kind)
    return size


def home():
    return _done("home")


def list():
    return _done("list")


def product():
    return _done("product")


def search():
    return _done("search")


def cart():
    return _done("cart")


def checkout():
    return _done("checkout")


def account():
    return _done("account")


def invoice():
    return _done("invoice")


def feed():
    return _done("feed")


def export():
    return _done("export")


class Jobs(socketserver.StreamRequestHandler):
    """One producer's jobs, in order: each is the function of that name."""

    def handle(self):
        for line in self.rfile:
            kind = line.decode().strip()
            job = globals()[kind] if kind in PAGES else None
            self.wfile.write(b"%d\n" % (job() if job else -1))


class Worker(socketserver.TCPServer):
    """One producer at a time."""

    allow_reuse_address = True


if __name__ == "__main__":
    with Worker(("127.0.0.1", int(sys.argv[1])), Jobs) as server:
        server.serve_forever()
