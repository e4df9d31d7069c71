"""An aiohttp application."""

from aiohttp import web

LEAK = []


async def home(request):
    return web.Response(text="hello")


async def leak(request):
    LEAK.append(bytearray(b"x" * 100_000))
    return web.Response(text="leaked")


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(5):
        await response.write(b"%d" % number)
    return response


async def fail(request):
    raise RuntimeError("planted")


def make_app(argv=None):
    app = web.Application()
    app.add_routes([web.get("/", home), web.get("/leak", leak), web.get("/stream", stream), web.get("/fail", fail)])
    return app


application = make_app()
