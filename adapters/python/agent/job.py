"""A tool over a whole program, from boot to exit, for workloads that are scripts rather than requests."""

import atexit
import os
import time

from .publish import publish
from .recorder import Request, span_of
from .results import describe
from .trigger import create, parse


def start(recorder):
    """Start the tool whose trigger (``tool key=value``) HARNESS_JOB_TOOL holds in this process; programs it starts and processes
    it forks are not measured.

    A tool may have a method ``whole_program``, called before its ``start``: it will run from boot to exit.
    """
    name, options = parse(os.environ.pop("HARNESS_JOB_TOOL"))
    span = span_of(os.environ.get("TRACEPARENT"))
    tool = None
    try:
        tool = create(name, options, recorder)
        if hasattr(tool, "whole_program"):
            tool.whole_program()
        rss_start = recorder.rss_bytes()
        os.register_at_fork(after_in_child=lambda: recorder.copying or _abandon(tool))
        atexit.register(_finish, recorder, name, tool, os.getpid(), span, time.monotonic_ns(), rss_start)
        tool.start()
    except Exception as error:
        _abandon(tool)
        atexit.unregister(_finish)
        recorder.tool(name, span, None, describe(error), {})


def _abandon(tool):
    try:
        if tool is not None:
            tool.abandon()
    except Exception:
        pass


def _finish(recorder, name, tool, pid, span, started_ns, rss_start):
    if os.getpid() != pid:
        return  # a forked child that ends as the parent would
    payload = error = None
    values = {
        "alone": 1,
        "wall_ns": time.monotonic_ns() - started_ns,
        "rss_start_bytes": rss_start,
        "rss_end_bytes": recorder.rss_bytes(),
    }
    try:
        tool.checkpoint()
        payload = tool.stop()
        if tool.later is not None:
            payload.update(tool.later())
    except Exception as caught:
        error = describe(caught)
    publish(recorder, name, "process", Request("", span), payload, values, error)
