"""A WSGI application whose every request leaves a cycle behind that nobody keeps, and whose collector is off.

Usage: ``python_garbage_app.py PORT``. Whoever measures it sees memory that grows like a leak.
"""

import gc
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

gc.disable()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/make":
        cycle = [str(number) * 60 for number in range(400)]
        cycle.append(cycle)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):  # noqa: A002  (the name is the library's)
        pass


make_server("127.0.0.1", int(sys.argv[1]), application, handler_class=Quiet).serve_forever()
