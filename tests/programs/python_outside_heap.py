"""A WSGI application whose pages each use up something else than the heap; ``quiet`` nothing. Files lie in the directories
``OUTSIDE_DIRECTORY`` and ``OUTSIDE_TMPFS``."""

import mmap
import os
import threading
from pathlib import Path

_HUGE = 2 * 1024 * 1024
_STEP = 256 * 1024
_kept = []
_state = {"number": 0, "sparse": None, "index": None}
_directory, _tmpfs = Path(os.environ["OUTSIDE_DIRECTORY"]), Path(os.environ["OUTSIDE_TMPFS"])


def threads():
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    _kept.append(thread)


def descriptors():
    _kept.append(os.open("/dev/null", os.O_RDONLY))


def mapped():
    """Reads on in a file that is mapped as a whole."""
    if _state["index"] is None:
        path = _directory / f"index-{os.getpid()}.bin"
        with path.open("wb") as stream:
            stream.truncate(400 * _STEP)
        with path.open("rb") as stream:
            _state["index"] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        _state["index"].madvise(mmap.MADV_RANDOM)  # what is read ahead would be page cache too
    at = _state["number"] % 400 * _STEP
    sum(_state["index"][at : at + _STEP : 4096])


def tmpfs():
    (_tmpfs / f"{os.getpid()}-{_state['number']}").write_bytes(b"t" * 128 * 1024)


def log():
    with (_directory / "log").open("ab") as stream:
        stream.write(b"l" * 512 * 1024)


def names():
    for n in range(2000):
        (_directory / f"none-{os.getpid()}-{_state['number']}-{n}").exists()


def sparse():
    """Touches one byte of a huge page that nobody has touched."""
    if _state["sparse"] is None:
        _state["sparse"] = mmap.mmap(-1, 1000 * _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _state["sparse"].madvise(mmap.MADV_HUGEPAGE)
    _state["sparse"][_state["number"] % 1000 * _HUGE + 4096] = 1


def quiet():
    pass


_PAGES = {f.__name__: f for f in (threads, descriptors, mapped, tmpfs, log, names, sparse, quiet)}


def application(environ, start_response):
    page = _PAGES.get(environ["PATH_INFO"].strip("/"))
    if page is not None:
        _state["number"] += 1
        page()
    start_response("200 OK" if page is not None else "404 Not Found", [("Content-Length", "3")])
    return [b"ok\n"]
