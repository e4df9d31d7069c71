"""Celery: every task that a worker runs is a job called by its name. A message header may ask for a tool."""

from . import jobs, middleware, patches

_HEADER = "x-harness-trigger"


def _traced(name, trace):
    """A stand-in for what ``build_tracer`` makes: it runs one task, ``request`` is what its message said."""

    def trace_task(uuid, args, kwargs, request=None):
        tool = None
        try:
            header = None if request is None else request.get(_HEADER)
            if type(header) is str:
                tool = middleware.authorised(header)
        except Exception:
            pass
        return jobs.call(name, trace, (uuid, args, kwargs, request), {}, tool)

    return trace_task


def hook(module):
    """Patch ``celery.app.trace``, and the tasks of a worker that was built before we came."""
    build = module.build_tracer

    def build_tracer(name, *args, **named):
        return _traced(name, build(name, *args, **named))

    build_tracer.__wrapped__ = build
    patches.put(module, "build_tracer", build_tracer)
    for tasks in module._localized[:1]:  # filled by setup_worker_optimizations: this is a worker's process
        for name, task in list(tasks.items()):
            trace = getattr(task, "__trace__", None)
            if trace is not None:
                patches.put(task, "__trace__", _traced(name, trace))
