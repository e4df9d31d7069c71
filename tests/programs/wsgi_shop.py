"""A WSGI application of known behaviour: / and /item/N answer at once, /keep?n=BYTES retains that much, /none is not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

KEPT: list[bytes] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/keep":
        KEPT.append(os.urandom(int(parse_qs(environ["QUERY_STRING"])["n"][0])))
    body = path.encode()
    start_response("404 Not Found" if path == "/none" else "200 OK", [("Content-Length", str(len(body)))])
    return [body]
