"""An ASGI application without a framework, of known memory behaviour."""

import asyncio

KEPT = []
HELD = []


async def keep():
    await asyncio.sleep(0)
    KEPT.append(bytearray(b"x" * 1_000_000))
    return b"kept"


def in_a_thread():
    KEPT.append(bytearray(b"y" * 1_000_000))
    return b"threaded"


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]
    if path == "/keep":
        body = await keep()
    elif path == "/thread":
        import contextvars

        loop, context = asyncio.get_running_loop(), contextvars.copy_context()  # asyncio.to_thread, which 3.8 lacks
        body = await loop.run_in_executor(None, context.run, in_a_thread)
    elif path == "/hold":
        HELD.append(asyncio.Event())
        await HELD[-1].wait()
        body = b"held"
    elif path == "/release":
        for event in HELD:
            event.set()
        body = b"%d" % len(HELD)
    else:
        body = b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
