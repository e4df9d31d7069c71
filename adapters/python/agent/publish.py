"""Hands a tool's result over to the harness: a file with the figures, and a record that names it."""

import os
import sys

from . import settings
from .results import describe, write_result

FORMAT = "harness-python-tool/1"


def publish(recorder, tool, scope, request, payload, values, error, stem=""):
    """Write ``payload`` (dict or None) and the record; ``request`` has a name and a span. Never raises."""
    file = None
    try:
        if payload is not None:
            problems = payload.get("problems")
            if problems and error is None:
                error = "; ".join(problems)
            payload.update(
                format=FORMAT,
                tool=tool,
                python="%d.%d.%d" % sys.version_info[:3],
                scope=scope,
                cwd=_cwd(),
                name=request.name,
                values=values,
            )
            file = write_result(settings.text("RESULTS"), payload, stem)
    except Exception as caught:
        error = error or describe(caught)
    try:
        recorder.tool(tool, request.span, file, error, values)
    except Exception:
        pass


def _cwd():
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""
