"""Tools whose profile does not come as a result file but through the Blackfire-compatible receiver: its launch, what a trigger
needs of it, and what it received."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from adapters.blackfire import companion
from adapters.python.toolset import TOOLS, Tool
from harness.plugins.spec import AdapterContext, LaunchPlan, Trigger

TIMEOUT_S = 15.0
_REQUEST_ID = re.compile(r"request-id-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def plans(context: AdapterContext) -> Sequence[LaunchPlan]:
    """The receiver, when a tool of this run needs it."""
    wanted = any(TOOLS[name].raw is not None for name in context.tools if name in TOOLS)
    return (companion.plan(context.work_dir, context.token),) if wanted else ()


def words(context: AdapterContext, tool: Tool) -> Mapping[str, str]:
    """What one trigger of this tool carries: a query that is good for one profile, and where to send it."""
    if tool.raw is None:
        return {}
    query, socket = companion.ask(context.work_dir, context.token)
    return {"query": query.text, "socket": socket}


def has(trigger: Trigger) -> bool:
    """Whether the result of a trigger is with the receiver."""
    return TOOLS[trigger.tool].raw is not None


def received(context: AdapterContext, trigger: Trigger) -> companion.Received:
    """The profile that this trigger asked for; ValueError with the reason when there is none."""
    found = _REQUEST_ID.search(" ".join(trigger.headers.values()))
    if found is None:
        raise ValueError("the trigger asked for no profile")
    return companion.received(context.work_dir, found[1], TIMEOUT_S)
