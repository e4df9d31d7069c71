"""`python_lines_web` as a FastAPI application: coroutines, plain endpoints in anyio's threads, other thread pools."""

import asyncio
import contextvars
import gc
import os
import sys
import tracemalloc

import python_lines_web as work
from asgiref.sync import sync_to_async
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, StreamingResponse

app = FastAPI(default_response_class=PlainTextResponse)
gc.disable()  # a collection in the middle of a line counts for that line


@app.exception_handler(ValueError)
async def failed(request, error):
    return PlainTextResponse("failed", 500)


@app.get("/awaits")
async def awaits():
    return str(await work.awaits())


@app.get("/plain")
def plain():
    return str(work.in_thread())


@app.get("/endpoint")
async def endpoint():
    block = bytearray(work.MB)
    await asyncio.sleep(0)
    return f"body {len(block)}"


@app.get("/endpoint-in-thread")
def endpoint_in_thread():
    block = bytearray(work.MB)
    return f"body {len(block)}"


@app.get("/executor")
async def executor():
    context = contextvars.copy_context()
    return str(await asyncio.get_running_loop().run_in_executor(None, context.run, work.in_thread))


@app.get("/asgiref")
async def asgiref():
    return str(await sync_to_async(work.in_thread)())


@app.get("/gather")
async def gather():
    loop = asyncio.get_running_loop()
    hops = [loop.run_in_executor(None, contextvars.copy_context().run, work.meets) for _ in range(2)]
    return str(sum(await asyncio.gather(*hops)))


@app.get("/stream")
def stream():
    return StreamingResponse(work.numbers(3), media_type="text/plain")


@app.get("/async-stream")
async def async_stream():
    return StreamingResponse(work.async_numbers(3), media_type="text/plain")


@app.get("/fails")
async def fails():
    work.raises()


def traces():
    """What a measurement could have left behind, in this thread and in this process."""
    from concurrent.futures.thread import _WorkItem

    from anyio._backends import _asyncio

    hop = _asyncio.AsyncIOBackend.run_sync_in_worker_thread
    return f"{_WorkItem.run.__module__} {hop.__module__} {sys.gettrace()} {tracemalloc.is_tracing()}"


@app.get("/left")
async def left():
    loop = asyncio.get_running_loop()
    return " ".join([traces(), await run_in_threadpool(traces), await loop.run_in_executor(None, traces)])


@app.get("/fork")
async def fork():
    """A child that is forked while the tool runs is none of its business."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, traces().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    said = os.read(reads, 1000).decode()
    os.close(reads)
    return said
