"""guppy3 for one request: the whole heap by kind, before and after, in bytes.

The genuine package reads the interpreter's internals, which may crash on a version that it does not know, and takes a second and
tens of megabytes: it runs in copies of the process only. Here nothing but its outermost package is imported.
"""

import json

from . import naming, snapshot, toolpath

ROWS = 300
ROWS_IN_COPY = 20_000
_OWN = __name__.rpartition(".")[0] + "."


class Tool:
    """``start`` before the request, ``stop`` at its end, ``later`` in a copy."""

    name = "guppy3"
    descriptors: "tuple[int, ...]" = ()

    def __init__(self, recorder, options):
        with toolpath.lend("guppy3"):
            import guppy
        self._guppy = guppy
        self._recorder = recorder
        self.later = self._compare

    def start(self):
        """Have a copy count. The request does not wait for it."""
        self.descriptors = (snapshot.ask(self._recorder, lambda: json.dumps(self._partition()).encode()),)

    def checkpoint(self):
        """Nothing to note before the end."""

    def stop(self):
        """An empty result: `later` fills it in."""
        return {}

    def abandon(self):
        """Let go of everything; also in a child that was forked meanwhile."""
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in descriptors:
            snapshot.close(descriptor)

    def _partition(self):
        """{kind: [objects, bytes]} of what can be reached, largest first."""
        found = {}
        for row in self._guppy.hpy().heap().stat.get_rows():
            kind = naming.plain(row.name)
            if _OWN not in kind:
                found[kind] = [row.count, row.size]
            if len(found) == ROWS_IN_COPY:
                break
        return found

    def _compare(self):
        after = self._partition()
        before = json.loads(snapshot.answer(self.descriptors[0]))
        none = (0, 0)
        rows = []
        for kind in {*before, *after}:
            (count, size), (old_count, old_size) = after.get(kind, none), before.get(kind, none)
            changes = {"count_growth": count - old_count, "bytes_growth": size - old_size}
            rows.append({"kind": kind, "count": count, "bytes": size, **changes})
        rows.sort(key=lambda row: (row["bytes_growth"], row["bytes"]), reverse=True)
        return {
            "kinds": rows[:ROWS],
            "kinds_total": len(rows),
            "objects": sum(row["count"] for row in rows),
            "bytes": sum(row["bytes"] for row in rows),
            "objects_growth": sum(row["count_growth"] for row in rows),
            "bytes_growth": sum(row["bytes_growth"] for row in rows),
        }
