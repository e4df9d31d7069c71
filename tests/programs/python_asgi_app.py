"""An ASGI application without a framework, and a driver that sends it requests as a server would."""

import asyncio

KEPT = []
release = None


async def keep(send):
    await asyncio.sleep(0)
    KEPT.append(bytearray(b"x" * 1_000_000))
    return b"kept"


def in_a_thread():
    KEPT.append(bytearray(b"y" * 1_000_000))
    return b"threaded"


async def application(scope, receive, send):
    path = scope["path"]
    if path == "/keep":
        body = await keep(send)
    elif path == "/thread":
        import contextvars

        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        body = await loop.run_in_executor(None, context.run, in_a_thread)
    elif path == "/hold":
        await release.wait()
        body = b"held"
    else:
        body = b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
