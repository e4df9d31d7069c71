"""A shop that tells secrets wherever an application can: what a recording of it must not pass on.

The secrets come in a file (TOLD_FILE, JSON: name -> text), so that no two runs of a test look for the same. They are put
into the process's name, its log, its environment and arguments, names of types, functions, files and keys that memory is held by,
exceptions and headers of responses. ``/keep`` leaks.
"""

import ctypes
import json
import mmap
import os
import sys
import traceback
from pathlib import Path

TOLD = json.loads(Path(os.environ["TOLD_FILE"]).read_text())
PR_SET_NAME = 15
KEPT: dict = {}


def _module() -> object:
    """A module whose file, function and source line are secrets too; what it keeps is what grows."""
    sys.path.insert(0, TOLD["directory"])
    return __import__(TOLD["module"])


LEAKY = _module()
Order = type("Order_" + TOLD["type"], (), {})
KEPT[TOLD["key"]] = []
KEPT[TOLD["customer"]] = []


def _map_a_file() -> mmap.mmap:
    path = Path(TOLD["directory"], TOLD["mapped"] + ".idx")
    path.write_bytes(b"x" * (1 << 20))
    with path.open("r+b") as file:
        found = mmap.mmap(file.fileno(), 0)
    found.read()
    return found


MAPPED = _map_a_file()


def _name_myself() -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, TOLD["title"].encode()[:15], 0, 0, 0)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    _name_myself()
    sys.stderr.write(f"log line of {path}: {TOLD['log']} {os.environ['GIVEN']} {os.environ['SHOP_TOKEN']}\n")
    sys.stderr.flush()
    headers = [("Content-Type", "text/plain"), ("X-Reply", TOLD["header"]), ("Set-Cookie", f"sid={TOLD['set_cookie']}")]
    if path == "/fails":
        try:
            raise ValueError(f"no such customer: {TOLD['exception']}")
        except ValueError as error:
            traceback.print_exc()
            start_response(f"500 {type(error).__name__}", headers)
            return [str(error).encode()]
    if path.startswith("/keep"):
        for key in KEPT:
            KEPT[key] += getattr(LEAKY, "build_" + TOLD["function"])(Order)
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", headers)
    return [b"ok"]
