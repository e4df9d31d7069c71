"""A Flask application that keeps known objects in known places, and says how many requests it has served."""

import gc
import os

from flask import Flask

app = Flask(__name__)
_ENTRIES = {"k1": []}
ballast = [[n] for n in range(200_000)]
gc.disable()  # a collection that is due would write to all of the above; only what a tool does is to show
_served: "list[int]" = []


class Order:
    """What leaks."""

    def __init__(self, number):
        self.number = number


@app.before_request
def count():
    _served.append(1)


@app.get("/")
def home():
    return "hello"


@app.get("/leak/<int:objects>")
def leak(objects):
    _ENTRIES["k1"].extend(Order(n) for n in range(objects))
    return "leaked"


@app.get("/pair")
def pair():
    """Garbage in a cycle is no survivor."""
    first, second = Order(1), Order(2)
    first.other, second.other = second, first
    return "dropped"


@app.get("/grow/<int:thousands>")
def grow(thousands):
    """So many thousand objects that no measured request has to do with."""
    ballast.extend([n] for n in range(thousands * 1000))
    return str(len(ballast))


@app.get("/served")
def served():
    return str(len(_served))


@app.get("/pid")
def pid():
    return str(os.getpid())


@app.get("/freeze")
def freeze():
    gc.freeze()
    return "frozen"
