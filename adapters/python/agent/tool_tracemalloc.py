"""tracemalloc for one request: started fresh, so it sees what the request allocated and nothing else. Where the application
traces already, that goes on, and the result is the difference between before and after."""

import gc
import marshal
import os
import tracemalloc

from . import places, snapshot
from .aside import Aside
from .garbage import Uncollected
from .results import ToolError

LINES = 1_000
STACKS = 2_000
NAMED = 1_000  # of the largest lines, and of the frames of the largest stacks
FRAMES_LIMIT = 25
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Tool:
    """``start`` before the request, ``checkpoint`` while it runs, ``stop`` once the application has let go of it.

    Options: ``frames``, how many of each allocation are kept (1 to 25); ``garbage``: nothing is collected before the end, and
    what the collection there frees is told as well (where the application does not trace itself).
    """

    name = "tracemalloc"

    def __init__(self, recorder, options):
        self._recorder = recorder
        self._frames = _frames(options.get("frames", "1"))
        self._uncollected = Uncollected(options)
        self._aside = Aside(recorder)
        self._whole = False
        self._tracing = False  # by us
        self._held = self._peak = self._peak_before = 0
        self._before = -1  # descriptor of what a copy of the process says of the heap before
        self.later = None
        self.descriptors: "tuple[int, ...]" = ()

    def whole_program(self):
        """It will run from boot to exit: everything that is traced counts, and nothing is put aside."""
        self._whole = True

    def start(self):
        """Not before it is our turn: until then the measured request before this one may still be tracing."""
        if not tracemalloc.is_tracing():
            self._tracing = True
            tracemalloc.start(self._frames)
        elif not self._whole:
            self._before = snapshot.ask(self._recorder, lambda: marshal.dumps(_by_stack()))
            self.descriptors = (self._before,)
            self.later = self._difference
            self._held, self._peak_before = tracemalloc.get_traced_memory()
        if not self._whole:
            self._aside.begin()
            self._uncollected.begin()

    def checkpoint(self):
        """Note the peak so far; called before our own work could raise it."""
        self._peak = max(self._peak, tracemalloc.get_traced_memory()[1])

    def stop(self):
        """Result dict: bytes and blocks still held, by line and by stack, and the peak, all counted from the start of the
        request. A difference is taken by `later`, in a copy of the process: it takes seconds where millions are traced."""
        if self.later is not None:
            return self._known_of_difference()
        try:
            before = _by_stack() if self._uncollected.wanted else None
            gc.collect()
            held, frames = _by_stack(), tracemalloc.get_traceback_limit()
        finally:
            self.abandon()
        garbage = {} if before is None else {"garbage": _tables(_less(before, held), frames)}
        return {"mode": "fresh", "frames_kept": frames, "peak_bytes": self._peak, **_tables(held, frames), **garbage}

    def _known_of_difference(self):
        gc.collect()
        self._aside.end()
        peak = None if self._peak <= self._peak_before else self._peak - self._held  # an older peak hides a lower one
        return {"mode": "difference", "frames_kept": tracemalloc.get_traceback_limit(), "peak_bytes": peak}

    def _difference(self):
        held = _by_stack()
        earlier = marshal.loads(snapshot.answer(self._before))  # noqa: S302  (a copy of this process wrote it)
        return _tables(_less(held, earlier), tracemalloc.get_traceback_limit())

    def abandon(self):
        """Stop without a result; also in a child that was forked while tracing."""
        if self._tracing:  # else it is the application's
            tracemalloc.stop()
            self._tracing = False
        fd, self._before = self._before, -1
        if fd >= 0:
            os.close(fd)
        self._uncollected.end()
        self._aside.end()


def _frames(text):
    try:
        frames = int(text)
    except ValueError:
        frames = 0
    if not 1 <= frames <= FRAMES_LIMIT:
        raise ToolError("frames must be a number from 1 to %d, not %r" % (FRAMES_LIMIT, text[:20]))
    return frames


def _by_stack():
    """{stack: (bytes, blocks)} of what is traced now; a stack is a tuple of (file, line), oldest frame first."""
    found = tracemalloc.take_snapshot().statistics("traceback")
    return {
        tuple((frame.filename, frame.lineno) for frame in stat.traceback): (stat.size, stat.count) for stat in found
    }


def _less(held, others):
    """The differences between two answers of `_by_stack`, those that are none left out."""
    left = dict(held)
    for stack, (size, blocks) in others.items():
        now = left.get(stack, (0, 0))
        left[stack] = (now[0] - size, now[1] - blocks)
    return {stack: change for stack, change in left.items() if change != (0, 0)}


def _tables(held, frames_kept):
    """The largest lines of {stack: (bytes, blocks)}, and stacks where they have several frames, ours left out; totals of all."""
    lines: "dict[tuple[str, int], tuple[int, int]]" = {}
    stacks = []
    for stack, (size, blocks) in held.items():
        where = stack[-1]
        if where[0].startswith(_OWN) or where[0] == tracemalloc.__file__:
            continue
        had = lines.get(where, (0, 0))
        lines[where] = (had[0] + size, had[1] + blocks)
        if frames_kept > 1:
            stacks.append((_from_the_application(stack), size, blocks))
    lines = {where: change for where, change in lines.items() if change != (0, 0)}
    largest = sorted(lines.items(), key=lambda item: abs(item[1][0]), reverse=True)[:LINES]
    stacks.sort(key=lambda item: abs(item[1]), reverse=True)
    frames: "dict[tuple[str, int], int]" = {}
    return {
        "kept_bytes": sum(size for size, _ in lines.values()),
        "kept_blocks": sum(blocks for _, blocks in lines.values()),
        "lines_total": len(lines),
        "lines": [{"file": f, "line": n, "bytes": size, "blocks": blocks} for (f, n), (size, blocks) in largest],
        "stacks_total": len(stacks),
        "stacks": [
            {"frames": [frames.setdefault(frame, len(frames)) for frame in stack], "bytes": size, "blocks": blocks}
            for stack, size, blocks in stacks[:STACKS]
        ],
        "frames": list(frames),
        "functions": places.names([*(where for where, _ in largest[:NAMED]), *list(frames)[:NAMED]]),
    }


def _from_the_application(stack):
    """A stack without our frames and without those of the server, which come before the first of ours."""
    ours = [frame[0].startswith(_OWN) for frame in stack]
    first = ours.index(True) if True in ours else 0
    return [frame for frame, our in zip(stack[first:], ours[first:]) if not our]
