"""tracemalloc for one request: started fresh with one frame, so it sees what the request allocated and nothing else."""

import gc
import os
import tracemalloc

from .results import ToolError

ROWS = 200
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Tool:
    """``start`` before the request, ``checkpoint`` while it runs, ``stop`` once the application has let go of it."""

    name = "tracemalloc"
    later = None

    def __init__(self, recorder, options):
        # Everything that was alive before is put aside, so that the collection at the end costs a millisecond instead of
        # a walk over the whole heap, which would also unshare the pages of a pre-forked worker. Not where the application
        # has frozen its own heap: nothing of that may be thawed.
        self._may_freeze = gc.get_freeze_count() <= recorder.frozen_at_boot
        self._frozen = False
        self._tracing = False
        self._peak = 0

    def start(self):
        self.trace()
        if self._may_freeze:
            gc.freeze()
            self._frozen = True

    def trace(self):
        """``start`` that puts nothing aside. Not before it is our turn: until then the measured request before this one may
        still be tracing."""
        if tracemalloc.is_tracing():
            raise ToolError("the application traces with tracemalloc itself; stop that, or profile with another tool")
        self._tracing = True
        tracemalloc.start(1)

    def checkpoint(self):
        """Note the peak so far; called before our own work could raise it."""
        self._peak = max(self._peak, tracemalloc.get_traced_memory()[1])

    def stop(self):
        """Result dict: bytes and blocks still held, by line, and the peak, all counted from the start of the request."""
        try:
            gc.collect()
            snapshot = tracemalloc.take_snapshot()
        finally:
            self.abandon()
        rows = [
            (stat.traceback[0].filename, stat.traceback[0].lineno, stat.size, stat.count)
            for stat in snapshot.statistics("lineno")
        ]
        rows = [row for row in rows if not row[0].startswith(_OWN) and row[0] != tracemalloc.__file__]
        return {
            "kept_bytes": sum(row[2] for row in rows),
            "kept_blocks": sum(row[3] for row in rows),
            "peak_bytes": self._peak,
            "lines_total": len(rows),
            "lines": [{"file": f, "line": n, "bytes": size, "blocks": blocks} for f, n, size, blocks in rows[:ROWS]],
        }

    def abandon(self):
        """Stop without a result; also in a child that was forked while tracing."""
        if self._tracing:  # else it is the application's
            self._tracing = False
            tracemalloc.stop()
        if self._frozen:
            self._frozen = False
            gc.unfreeze()
