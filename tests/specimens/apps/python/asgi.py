"""``uvicorn asgi:application``."""

import itertools

from shop.pages import PAGES
from shop.settings import Defects, read

_defects = Defects(read())
_numbers = itertools.count(1)


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    name = scope["path"].strip("/") or "home"
    page = PAGES.get(name)
    if page is None:
        return await answer(send, 404, b"no such page\n")
    body = page(next(_numbers)).encode()
    _defects.run(name)
    return await answer(send, 200, body)


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(send, status, body):
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
