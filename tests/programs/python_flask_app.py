"""A Flask application with a planted leak, a thread-pool endpoint and a decorated one."""

import functools
import time

from flask import Flask

app = Flask(__name__)
LEAK = []


def quiet(view):
    """A decorator as applications have them."""

    @functools.wraps(view)
    def wrapper(*args, **named):
        return view(*args, **named)

    return wrapper


@app.get("/")
def home():
    return "hello"


@app.get("/leak")
@quiet
def leak():
    LEAK.append(bytearray(b"x" * 100_000))
    return "leaked"


@app.get("/stream")
def stream():
    return (str(n) for n in range(5))


@app.get("/item/<path:name>")
def item(name):
    return name


@app.get("/fail")
def fail():
    raise RuntimeError("planted")


@app.get("/nap")
def nap():
    time.sleep(0.01)
    return "rested"
