"""A Flask application and an ASGI one (``asgi``) of known calls, for call profiles."""

import asyncio
import cProfile
import sys
import threading
import time

try:
    from flask import Flask
except ImportError:  # as a script, in an environment without it
    Flask = None

PROFILES = []


def leaf(number):
    return abs(number)


def seven():
    """Calls ``leaf`` seven times, and so `abs`."""
    return sum(leaf(-1) for _ in range(7))


def slow():
    time.sleep(0.02)


def background():
    """What busy threads call."""
    return leaf(-2)


def busy():
    while True:
        background()


async def pause():
    await asyncio.sleep(0.001)
    return leaf(-1)


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = b"%d" % (seven() + sum([await pause() for _ in range(3)]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


if Flask:
    app = Flask(__name__)

    @app.get("/seven")
    def call_seven():
        slow()
        return str(seven())

    @app.get("/stream")
    def stream():
        def parts():
            for _ in range(3):
                yield str(leaf(1))

        return parts()

    @app.get("/own-profiler")
    def own_profiler():
        """As applications do that profile themselves."""
        profile = cProfile.Profile()
        profile.enable()
        seven()
        profile.disable()
        counts = [entry.callcount for entry in profile.getstats() if getattr(entry.code, "co_name", "") == "leaf"]
        return str(counts)

    @app.get("/profiler-on")
    def profiler_on():
        PROFILES.append(cProfile.Profile())
        PROFILES[-1].enable()
        return "on"

    @app.get("/threads")
    def threads():
        for _ in range(3):
            threading.Thread(target=busy, daemon=True).start()
        return "started"


if __name__ == "__main__":
    sys.exit(seven() != 7)
