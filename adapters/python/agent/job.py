"""tracemalloc over a whole program, from boot to exit, for workloads that are scripts rather than requests."""

import atexit
import os
import time
import tracemalloc

from .publish import publish
from .recorder import Request, span_of
from .results import ToolError, describe
from .tool_tracemalloc import Tool


def start(recorder):
    """Start the tool named by HARNESS_JOB_TOOL in this process; programs it starts are not measured."""
    tool_name = os.environ.pop("HARNESS_JOB_TOOL")
    span = span_of(os.environ.get("TRACEPARENT"))
    try:
        if tool_name != Tool.name:
            raise ToolError("%s cannot measure a whole script; tracemalloc can" % tool_name[:40])
        tool = Tool(recorder, {})
        rss_start = recorder.rss_bytes()
        tool.trace()
        os.register_at_fork(after_in_child=tracemalloc.stop)
        atexit.register(_finish, recorder, tool, os.getpid(), span, time.monotonic_ns(), rss_start)
    except Exception as error:
        recorder.tool(tool_name, span, None, describe(error), {})


def _finish(recorder, tool, pid, span, started_ns, rss_start):
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
    except Exception as caught:
        error = describe(caught)
    publish(recorder, tool.name, "process", Request("", span), payload, values, error)
