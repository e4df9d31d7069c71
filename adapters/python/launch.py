"""Turns the launch of a Python program into one that carries the agent, by environment only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from adapters.python import deploy, interpreter, interpreters, overlay, tools
from adapters.python.interpreter import Command, Interpreter
from adapters.python.toolset import TOOLS, Tool
from harness.plugins import orders
from harness.plugins.spec import AdapterContext, LaunchPlan

# What the agent reads and `agent_settings` does not always give.
_OPTIONAL = ("HARNESS_GC_FREEZE", "HARNESS_FUNCTIONS", "HARNESS_JOBS", "HARNESS_JOB_TOOL", "HARNESS_TOOLS")


def environment(plan: LaunchPlan) -> dict[str, str]:
    """All variables the plan's program will see."""
    merged: dict[str, str | None] = {**os.environ, **plan.env}
    return {key: value for key, value in merged.items() if value is not None}


def look(plan: LaunchPlan) -> tuple[Command, Interpreter | None]:
    """Which Python a plan runs; the interpreter is asked, isolated, for a moment."""
    env = environment(plan)
    command = interpreter.resolve(plan.argv, env, plan.cwd)
    return command, interpreter.ask(command, env)


def experiments(context: AdapterContext) -> Mapping[str, str]:
    """What this launch changes about the application beyond watching it, for the report."""
    found = {}
    if context.options.get("gc_freeze"):
        found["gc_freeze"] = "garbage is collected and the heap frozen (gc.freeze) before every fork of a worker"
    if context.options.get("overlay"):
        found["overlay"] = (
            "programs started with -E or -I run from a virtual environment of the harness: sys.prefix and sys.executable differ"
        )
    if frames_from_boot(context) is not None:
        found["tracemalloc"] = (
            "tracemalloc traces from the start of every process: several times slower, and more memory, in all figures"
        )
    return found


def wanted_tools(context: AdapterContext) -> Sequence[Tool]:
    """The tools of this run that this adapter has."""
    asked = [TOOLS[name] for name in dict.fromkeys(context.tools) if name in TOOLS]
    if context.functions and not any(tool.functions for tool in asked):
        asked.append(TOOLS["memory_profiler"])
    return asked


def instrumented(context: AdapterContext, layout: deploy.AgentLayout, plan: LaunchPlan) -> LaunchPlan:
    """The same plan with the agent's variables; builds directories of tools that are not at hand."""
    variables = environment(plan)
    command, found = look(plan)
    interpreters.remember(context.work_dir, found)
    env: dict[str, str | None] = {
        **plan.env,
        **{
            name: None for name in _OPTIONAL if name in variables
        },  # of another run, in whose target this harness was started
        "PYTHONPATH": os.pathsep.join(filter(None, (str(layout.boot_dir), variables.get("PYTHONPATH")))),
        **_tracing(context, variables),
        **agent_settings(context, layout, found),
    }
    argv = plan.argv
    if context.options.get("overlay") and overlay.helps(command):
        root = layout.boot_dir.with_name("overlay")
        argv = overlay.argv(command, overlay.build(root, layout.boot_dir, command, variables))
    return replace(plan, env=env, argv=argv)


def _tracing(context: AdapterContext, variables: Mapping[str, str]) -> Mapping[str, str]:
    """For tracemalloc from the start of every process; what the application sets itself stays."""
    frames = frames_from_boot(context)
    return {} if frames is None or "PYTHONTRACEMALLOC" in variables else {"PYTHONTRACEMALLOC": str(frames)}


def frames_from_boot(context: AdapterContext) -> int | None:
    """Frames that tracemalloc keeps from the start of every process; None where it does not trace from there."""
    options = context.options.get("tracemalloc")
    if not isinstance(options, Mapping) or not options.get("from_boot"):
        return None
    frames = options.get("frames", 1)
    return frames if isinstance(frames, int) else 1


def agent_settings(context: AdapterContext, layout: deploy.AgentLayout, found: Interpreter | None) -> dict[str, str]:
    """What the agent reads at boot."""
    settings = {
        "HARNESS_RECORDS": str(layout.records_file),
        "HARNESS_RESULTS": str(layout.results_dir),
        "HARNESS_TOKEN": context.token,
        "HARNESS_ORDERS": str(layout.orders_file),
        "HARNESS_SIGNAL": str(orders.NUMBER),
    }
    settings.update(optional_settings(context))
    wanted = [
        tool for tool in wanted_tools(context) if tool.names and not (context.automatic and _is_away(tool, found))
    ]
    lent = {tool.name: tools.lend(tool, found, os.environ).entry(tool) for tool in wanted}
    interpreters.remember_lent(context.work_dir, [name for name, entry in lent.items() if not entry["problem"]])
    if lent:
        settings["HARNESS_TOOLS"] = json.dumps(lent)
    return settings


def optional_settings(context: AdapterContext) -> dict[str, str]:
    """What the agent does only where the scenario asks for it."""
    settings = {}
    if context.options.get("gc_freeze"):
        settings["HARNESS_GC_FREEZE"] = "1"
    if context.functions:
        settings["HARNESS_FUNCTIONS"] = json.dumps(list(context.functions))
    jobs = context.options.get("jobs")
    if isinstance(jobs, (list, tuple)) and jobs:
        settings["HARNESS_JOBS"] = " ".join(map(str, jobs))  # names of functions: no blanks in them
    return settings


def mounted(layout: deploy.AgentLayout, directory: Path, inside: str, token: str) -> dict[str, str]:
    """What an agent reads at boot where its directory is mounted as ``inside``."""
    root = directory.resolve()

    def seen(path: Path) -> str:
        return str(PurePosixPath(inside) / path.relative_to(root))

    return {
        "PYTHONPATH": seen(layout.boot_dir),
        "HARNESS_RECORDS": seen(layout.records_file),
        "HARNESS_RESULTS": seen(layout.results_dir),
        "HARNESS_TOKEN": token,
        "HARNESS_ORDERS": seen(layout.orders_file),
        "HARNESS_SIGNAL": str(orders.NUMBER),
    }


def _is_away(tool: Tool, found: Interpreter | None) -> bool:
    """Whether it would have to be fetched, or nobody knows for which Python."""
    return found is None or not tools.is_at_hand(tool, found, os.environ)
