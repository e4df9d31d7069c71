"""A small HTTP/1.1 server with known behaviour, for the load generator's tests.

``python load_target.py [CERTIFICATE_AND_KEY.pem]`` prints ``{"port": N}`` and serves 127.0.0.1 until its stdin ends. ``/log``
answers with what was asked of it (without ``/log`` itself); ``/fast`` is answered without being logged.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path, self.query = parts.path, dict(parse_qsl(parts.query))

    @property
    def cookies(self) -> dict[str, str]:
        return {name: morsel.value for name, morsel in SimpleCookie(self.headers.get("cookie", "")).items()}

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Connection:
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


# A handler that returns None has dealt with the connection itself and wants it closed.
Handler = Callable[["Server", Request, Connection], Awaitable[Answer | None]]


def _page(text: str, *headers: tuple[str, str], status: int = 200) -> Answer:
    return status, [("content-type", "text/html"), *headers], text.encode()


class Server:
    def __init__(self) -> None:
        self.log: deque[dict[str, object]] = deque(maxlen=20_000)
        self.tokens = 0
        self.connections = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(self.connections, reader, writer)
        try:
            while (request := await _read(connection)) is not None and await self.answer(request, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def answer(self, request: Request, connection: Connection) -> bool:
        """True when the connection goes on."""
        if request.path == "/fast":
            connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello")
            return True
        if request.path != "/log":
            self.log.append(
                {"method": request.method, "target": request.target, "headers": request.headers,
                 "body": request.body.decode("utf-8", "replace"), "connection": connection.number}
            )  # fmt: skip
        handler = ROUTES.get(request.path)
        answer = await handler(self, request, connection) if handler else _page("no such page", status=404)
        if answer is None:
            return False
        status, headers, body = answer
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        connection.writer.write(
            f"HTTP/1.1 {status} X\r\n{head}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body
        )
        await connection.writer.drain()
        return request.headers.get("connection") != "close"


async def _read(connection: Connection) -> Request | None:
    try:
        head = await connection.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await connection.reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


async def page(server: Server, request: Request, connection: Connection) -> Answer:
    return _page("welcome <b>home</b>")


async def login_form(server: Server, request: Request, connection: Connection) -> Answer:
    """GET: a form with a new token, also in a cookie. POST: good credentials and the cookie's token let in."""
    if request.method == "GET":
        server.tokens += 1
        token = f"t&{server.tokens}"
        return _page(
            f'<form><input name="csrf" value="{token.replace("&", "&amp;")}"></form>',
            ("set-cookie", f"csrf={server.tokens}; Path=/; HttpOnly"),
        )
    form = request.form
    if form.get("csrf") != f"t&{request.cookies.get('csrf')}" or form.get("password") != "s3cret":
        return _page("forbidden", status=403)
    return _page(
        "", ("set-cookie", f"session={form['user']}; Path=/; SameSite=Lax"), ("location", "/private"), status=302
    )


async def private(server: Server, request: Request, connection: Connection) -> Answer:
    if "session" not in request.cookies:
        return _page("forbidden", status=403)
    return _page(f"hello {request.cookies['session']}", ("x-who", request.cookies["session"]))


async def log(server: Server, request: Request, connection: Connection) -> Answer:
    return 200, [("content-type", "application/json")], json.dumps(list(server.log)).encode()


async def item(server: Server, request: Request, connection: Connection) -> Answer:
    """A JSON document with a new id each time; a POST must bring one back."""
    if request.method == "POST":
        ok = request.headers.get("content-type") == "application/json" and "id" in json.loads(request.body)
        return _page("stored" if ok else "bad", status=201 if ok else 400)
    server.tokens += 1
    return 200, [("content-type", "application/json")], json.dumps({"items": [{"id": server.tokens}]}).encode()


async def odd(server: Server, request: Request, connection: Connection) -> Answer:
    """Values no well-meaning server sends."""
    return (
        200,
        [("content-type", "application/json"), ("set-cookie", "odd=caf\xe9; Path=/")],
        b'{"v": "\\ud800\\u0000"}',
    )


async def size(server: Server, request: Request, connection: Connection) -> None:
    """``?n=N``: N bytes, chunked; the last four are ``last``."""
    left = int(request.query["n"]) - 4
    connection.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
    block = bytes(65536)
    while left > 0:
        part = block[: min(left, len(block))]
        connection.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        left -= len(part)
        await connection.writer.drain()
    connection.writer.write(b"4\r\nlast\r\n0\r\n\r\n")
    await connection.writer.drain()


async def redirect(server: Server, request: Request, connection: Connection) -> Answer:
    return _page("", ("location", request.query["to"]), ("set-cookie", "hop=1"), status=302)


async def loop(server: Server, request: Request, connection: Connection) -> Answer:
    return _page("", ("location", request.target), status=302)


async def drop(server: Server, request: Request, connection: Connection) -> None:
    """Answer and keep the connection, then close it as soon as the next request has come; with ``?always=1`` at once."""
    if "always" in request.query:
        return
    connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst")
    follower = await _read(connection)
    if follower is not None:
        server.log.append({"method": follower.method, "target": follower.target, "dropped": True})


async def garbage(server: Server, request: Request, connection: Connection) -> None:
    connection.writer.write(b"this is not HTTP\r\n\r\n")
    await connection.writer.drain()


async def truncated(server: Server, request: Request, connection: Connection) -> None:
    connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
    await connection.writer.drain()


async def silence(server: Server, request: Request, connection: Connection) -> None:
    await asyncio.Event().wait()


async def gate(server: Server, request: Request, connection: Connection) -> Answer:
    """``?set=closed`` makes every other ``/gate`` wait until ``?set=open``."""
    wanted = request.query.get("set")
    if wanted == "closed":
        server.gate.clear()
    elif wanted == "open":
        server.gate.set()
    else:
        await server.gate.wait()
    return _page("through")


ROUTES: dict[str, Handler] = {
    "/": page, "/login": login_form, "/private": private, "/log": log, "/item": item, "/odd": odd, "/size": size,
    "/redirect": redirect, "/loop": loop,
    "/drop": drop, "/garbage": garbage, "/truncated": truncated, "/silence": silence, "/gate": gate,
}  # fmt: skip


async def main() -> None:
    application = Server()
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1])
    server = await asyncio.start_server(application.serve, "127.0.0.1", 0, backlog=512, ssl=tls)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
