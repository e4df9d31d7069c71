"""memray for one request: a Tracker of its own around it, all threads and Python's own allocators in the recording.

memray numbers threads its own way and names none that was there before, so the thread of the request leaves a mark in the
recording: blocks of odd sizes, too small to be the peak of anything. The recording is read outside, see memray_reader.py.
"""

import gc
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

from . import settings
from .aside import Aside
from .results import ToolError, describe
from .toolpath import lend

MARKS = (3001, 2503, 3511)  # bytes of bytearrays, in this order
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # the agent and its bootstrap
_QUIET = 40  # logging.ERROR; memray says on the target's stderr which symbols it corrects


def mark():
    """Make the blocks, one after the other."""
    for size in MARKS:
        bytearray(size)


class Tool:
    """Records the allocations of the whole process, and whose thread was the request's."""

    name = "memray"
    later = None

    def __init__(self, recorder, options):
        self._native = options.get("native") == "1"
        self._aside = Aside(recorder)
        self._whole = False
        self._tracker = None
        self._profilers: "tuple[Any, Any]" = (None, None)
        self._pid = 0
        self._path = ""
        finder = lend(self.name)
        with finder:
            self._memray = _load()
        self._lent = finder.has(self._memray.__file__)

    def whole_program(self):
        """It will run from boot to exit: that is a lot, so allocations are added up as they come."""
        self._whole = True

    def start(self):
        memray = self._memray
        self._path = os.path.join(settings.text("RESULTS"), "." + os.urandom(16).hex())
        self._pid = os.getpid()
        kind = memray.FileFormat
        try:
            tracker = memray.Tracker(
                self._path,
                native_traces=self._native,
                trace_python_allocators=True,
                file_format=kind.AGGREGATED_ALLOCATIONS if self._whole else kind.ALL_ALLOCATIONS,
            )
            self._profilers = sys.getprofile(), threading._profile_hook
            tracker.__enter__()
        except Exception as error:
            self._remove()
            if "one Tracker" in str(error):
                raise ToolError(
                    "the application uses memray itself, and a process can have only one Tracker; "
                    "stop that, or profile with another tool"
                ) from None
            raise
        self._tracker = tracker
        mark()
        if not self._whole:
            self._aside.begin()

    def checkpoint(self):
        pass

    def stop(self):
        """Result dict: the recording, a file beside this one, and what is needed to read it."""
        try:
            gc.collect()
            self._end()
            name = os.path.basename(self._path)[1:] + ".bin"
            os.rename(self._path, os.path.join(os.path.dirname(self._path), name))
        except BaseException:
            self.abandon()
            raise
        finally:
            self._aside.end()
        return {
            "recording": name,
            "memray": self._memray.__version__,
            "lent": self._lent,
            "cache_tag": sys.implementation.cache_tag,
            "native": self._native,
            "own": _OWN,
            "marks": [] if self._whole else list(MARKS),
        }

    def abandon(self):
        """Stop without a result; also in a child that was forked while recording, whose memray is off already."""
        self._aside.end()
        self._end()
        if self._path and os.getpid() == self._pid:
            self._remove()

    def _end(self):
        tracker, self._tracker = self._tracker, None
        if tracker is not None and os.getpid() == self._pid:
            tracker.__exit__(None, None, None)
        elif tracker is not None:
            self._forget()

    def _forget(self):
        """In a forked child memray has let go of its Tracker, and to end it would wait forever for a thread of the parent. Left
        is what it put into Python, and that would keep a next Tracker from starting."""
        for name in ("_name", "_ident"):
            if name in vars(threading.Thread):
                delattr(threading.Thread, name)
        sys.setprofile(self._profilers[0])
        threading.setprofile(self._profilers[1])

    def _remove(self):
        try:
            os.unlink(self._path)
        except OSError:
            pass


def _load():
    """memray, with all that its first Tracker would import."""
    try:
        import memray
    except Exception as error:
        raise ToolError("memray cannot be imported in the target: %s" % describe(error)) from None
    try:
        memray.set_log_level(_QUIET)
        try:
            _try(memray)
        except PermissionError:
            _ignore_home()
            _try(memray)
    except (AttributeError, TypeError):
        version = getattr(memray, "__version__", "unknown")
        raise ToolError("the target's own memray (%s) is too old, this needs 1.8" % version) from None
    return memray


def _try(memray):
    memray.Tracker("/dev/null", file_format=memray.FileFormat.ALL_ALLOCATIONS, trace_python_allocators=True)


def _ignore_home():
    """memray looks for packages below HOME and fails where it may not: a worker that gave up root's rights has root's HOME."""
    import site

    from memray.reporters import module_tools

    known = SimpleNamespace(getsitepackages=site.getsitepackages, getusersitepackages=lambda: os.devnull + "/none")
    module_tools.site = known
