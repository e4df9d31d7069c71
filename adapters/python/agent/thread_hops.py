"""Before Python 3.12 a trace function belongs to a thread. While a request is measured, this takes ours along where work enters
a pool thread: executors of ``concurrent.futures`` (asyncio's and asgiref's are such) and anyio's worker threads (Starlette,
FastAPI). Whose work it is, the trace function decides at each call, by the context that it finds there."""

import sys

from .patches import Patches


class ThreadHops:
    """``start`` and ``stop`` around a measurement; ``tracer`` is what `sys.settrace` gets in pool threads."""

    def __init__(self, tracer):
        self._tracer = tracer
        self._patches = Patches()
        self._active = False

    def start(self):
        """Patch what is loaded. A pool that the measured request itself loads first is not followed; warm-ups have done that."""
        self._active = True
        item = getattr(sys.modules.get("concurrent.futures.thread"), "_WorkItem", None)
        if item is not None:
            self._patches.put(item, "run", self._in_thread(item.run))
        self._follow_anyio(sys.modules.get("anyio._backends._asyncio"))

    def _follow_anyio(self, backend):
        name = "run_sync_in_worker_thread"  # anyio 4: a class method of the backend; 3: a function of its module
        owner = getattr(backend, "AsyncIOBackend", backend)
        original = vars(owner).get(name) if owner is not None else None
        if original is None:
            return
        function = getattr(original, "__func__", original)

        if original is function:

            async def hop(func, *args, **named):
                return await function(self._in_thread(func), *args, **named)

            self._patches.put(owner, name, hop)
        else:

            async def hop_of_class(cls, func, *args, **named):
                return await function(cls, self._in_thread(func), *args, **named)

            self._patches.put(owner, name, classmethod(hop_of_class))

    def stop(self):
        """Put the originals back. Where another patch holds on to ours, ours does nothing from now on."""
        self._active = False
        self._patches.restore()

    def _in_thread(self, function):
        def traced(*args, **named):
            if not self._active or sys.gettrace() is not None:  # a debugger's or coverage's goes first
                return function(*args, **named)
            sys.settrace(self._tracer)
            try:
                return function(*args, **named)
            finally:
                if sys.gettrace() is self._tracer:
                    sys.settrace(None)

        return traced
