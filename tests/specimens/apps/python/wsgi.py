"""``gunicorn wsgi:application``."""

import itertools

from shop.pages import PAGES
from shop.settings import Defects, read

_defects = Defects(read())
_numbers = itertools.count(1)


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/") or "home"
    page = PAGES.get(name)
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]
    body = page(next(_numbers)).encode()
    _defects.run(name)
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
