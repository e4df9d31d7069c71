"""A WSGI application with one page that keeps memory, one that does not, and one that takes as much as it is told to."""

import json
from urllib.parse import parse_qs

KEPT = []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    asked = parse_qs(environ.get("QUERY_STRING", ""))
    if path == "/keep":
        KEPT.append({"basket": [object() for _ in range(64)], "note": "x" * 2048})
    elif path == "/take":
        KEPT.append(b"x" * (int(asked["mib"][0]) << 20))
    elif path not in ("/", "/health"):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not here\n"]
    body = json.dumps({"path": path, "rows": [{"id": number} for number in range(100)]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
