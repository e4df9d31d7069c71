"""A WSGI application with a large heap, for servers that load it before they fork."""

import gc

HEAP = [{"number": [number]} for number in range(150_000)]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % gc.get_freeze_count()]
