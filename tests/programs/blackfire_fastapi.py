"""The same service in FastAPI: one endpoint on the loop, one in the thread pool."""

import blackfire_work
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/async", response_class=PlainTextResponse)
async def on_the_loop():
    return blackfire_work.report().decode()


@app.get("/sync", response_class=PlainTextResponse)
def in_a_thread():
    return blackfire_work.report().decode()


@app.get("/{name}", response_class=PlainTextResponse)
async def page(name: str):
    return blackfire_work.route("/" + name).decode()
