"""A FastAPI application: coroutine and thread-pool endpoints, a stream, a websocket, a lifespan; runs on Python 3.8 too."""

import asyncio
import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

LEAK = []
STATE = {"started": 0}


@asynccontextmanager
async def lifespan(app):
    STATE["started"] += 1
    yield
    if os.environ.get("ENDED_FILE"):
        with open(os.environ["ENDED_FILE"], "w") as stream:
            stream.write("ended")


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def home():
    return f"started {STATE['started']}"


@app.get("/leak", response_class=PlainTextResponse)
def leak():
    LEAK.append(bytearray(b"x" * 100_000))
    return "leaked"


@app.get("/stream")
async def stream():
    async def numbers():
        for number in range(5):
            await asyncio.sleep(0)
            yield str(number)

    return StreamingResponse(numbers())


@app.get("/fail")
async def fail():
    raise RuntimeError("planted")


@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text("echo " + await socket.receive_text())
