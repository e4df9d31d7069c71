"""A WSGI application whose every request keeps 120 kB for as long as the process lives."""

KEPT = []


def application(environ, start_response):
    KEPT.append(bytearray(120_000))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"kept\n"]
