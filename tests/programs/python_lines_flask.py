"""`python_lines_web` as a Flask application."""

import gc
import sys
import tracemalloc

import python_lines_web as work
from flask import Flask

app = Flask(__name__)
gc.disable()  # a collection in the middle of a line counts for that line
CALLS = {
    "known": work.known,
    "calls": work.calls,
    "recursive": lambda: work.recursive(3),
    "catches": work.catches,
    "nested": work.nested,
    "many": work.many,
    "put": lambda: work.Shelf().put(),
}


@app.get("/call/<name>")
def call(name):
    return str(CALLS[name]())


@app.get("/stream")
def stream():
    return work.numbers(3), {"Content-Type": "text/plain"}


@app.get("/fails")
def fails():
    return str(work.raises())


@app.get("/trace")
def trace():
    tracemalloc.start()
    return "tracing"


@app.get("/tracing")
def tracing():
    return str(tracemalloc.is_tracing() or sys.gettrace() is not None)
