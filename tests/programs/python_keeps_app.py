"""A WSGI application whose pages keep memory in known ways: each marks its line with a comment ``keeps: NAME``."""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

if os.environ.get("KEEPS_GC") == "off":
    gc.disable()
KEPT: list[object] = []
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]


class Order:
    """Something of the application's."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.note = bytes(6_000)  # keeps: objects


class Node:
    """One of a pair that refer to each other."""

    def __init__(self, other: Node | None = None) -> None:
        self.other = other


def page_objects() -> str:
    order = Order(next(_numbers))
    KEPT.append(order)
    return "kept"


def page_parsed() -> str:
    text = json.dumps([f"row {n}" * 4 for n in range(100)])
    KEPT.append(json.loads(text))  # keeps: parsed
    return "kept"


def page_rare() -> str:
    if next(_numbers) % 8 == 0:
        KEPT.append([bytes(700) for _ in range(60)])  # keeps: rare
    return "sometimes"


def page_native() -> str:
    address = _libc.malloc(8_000)  # keeps: native
    ctypes.memset(address, 1, 8_000)
    return "kept"


def page_cycles() -> str:
    for _ in range(40):
        node = Node()
        node.other = Node(node)  # keeps: cycles
    return "left"


def page_threads() -> str:
    if next(_numbers) % 4 == 0:
        threading.Thread(target=threading.Event().wait, daemon=True).start()  # keeps: threads
    return "started"


def page_home() -> str:
    return json.dumps(sorted({"id": n, "name": f"product {n}"}["name"] for n in range(50)))


def page_about() -> str:
    return ", ".join(str(n * n) for n in range(200))


PAGES: dict[str, Callable[[], str]] = {
    name.removeprefix("page_"): page for name, page in list(globals().items()) if name.startswith("page_")
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page of the path."""
    body = PAGES[str(environ["PATH_INFO"]).strip("/") or "home"]().encode()
    headers: list[tuple[str, Any]] = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
