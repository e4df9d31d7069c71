"""Requests of servers that speak neither WSGI nor ASGI (aiohttp, tornado), shown to the recorder as ASGI requests.

The application keeps its own request object, so the trigger header stays visible to it here.
"""

from . import middleware


async def call(method, path, headers, handle, status_of):
    """Await ``handle()`` and record it; ``headers`` are pairs of str; ``status_of(result, error)`` -> int or None."""
    result = None

    async def app(scope, receive, send):
        nonlocal result
        try:
            result = await handle()
        except BaseException as error:
            await send({"type": "http.response.start", "status": status_of(None, error)})
            raise
        await send({"type": "http.response.start", "status": status_of(result, None)})

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers],
    }
    await middleware.call_asgi(app, scope, None, _drop)
    return result


async def _drop(message):
    pass


def aiohttp_application(original):
    """Replacement of ``aiohttp.web_app.Application._handle``: the response is sent after it, streams are sent within."""

    async def _handle(self, request):
        if "upgrade" in request.headers:  # a websocket lives as long as its handler
            return await original(self, request)
        return await call(
            request.method,
            request.path,
            request.headers.items(),
            lambda: original(self, request),
            lambda response, error: getattr(response if error is None else error, "status", None),
        )

    return _handle


def tornado_handler(original):
    """Replacement of ``tornado.web.RequestHandler._execute``."""

    async def _execute(self, transforms, *args, **named):
        request = self.request
        # A fallback passes the request to another application, a WSGI one for example, which has hooks of its own.
        if "Upgrade" in request.headers or hasattr(self, "fallback"):
            return await original(self, transforms, *args, **named)
        return await call(
            request.method or "",
            request.path or "",
            request.headers.get_all(),
            lambda: original(self, transforms, *args, **named),
            lambda result, error: self.get_status(),
        )

    return _execute
