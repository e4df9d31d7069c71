"""A directory that `harness agent` has made, wherever it lies, and what is wrong with it: in one place, so that `harness doctor`
says beforehand what a run would say. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from harness import __version__

ENVIRONMENT = "agent.env"
ENVIRONMENT_CAP = 1 << 16
NO_PYTHON = "has no Python 3.8 or newer, without which an agent's directory cannot be kept there"
NO_PYTHON_FIX = "install python3 there (the harness itself is not needed), or leave `agent` out"
ANOTHER_THERE = (
    "make one with `harness agent ssh://HOST/DIRECTORY` (for PHP add --runtime php), and start the application with the "
    "variables of its agent.env"
)
ANOTHER_MOUNTED = (
    "make one with `harness agent DIRECTORY --inside PATH` (for PHP add --runtime php), and mount it as PATH"
)
UNUSABLE_FIX = "make one with `harness agent`, as the user who logs in; one run at a time uses a directory"
SILENT = (
    "no process has written into the agent's directory: was the application started with the variables of agent.env, and "
    "may its user write there?"
)
SILENT_CONTAINER = (
    "no process has written into the agent's directory: was the container started with it mounted, and with the variables "
    "of agent.env?"
)
SILENT_COSTS = "nothing is known from inside the runtime, and no request is tied to a worker by a record"
VERSION_COSTS = "records or orders that one of the two does not know yet are lost"
_TOKEN = re.compile(r"[0-9a-f]{32}\Z")
_WORD = re.compile(r"[0-9A-Za-z.+_-]{1,32}\Z")
_RECORDS = re.compile(r"(/.{1,1024})/records/([a-z]{1,16}-[0-9a-f]{16}\.ndjson)\Z")
_ORDER = re.compile(r"[a-z0-9_-]{1,32}(/[a-z0-9_-]{1,32}){1,3}\Z")


@dataclass(frozen=True, slots=True)
class Deployed:
    """What agent.env says: the token, names below the directory, as what directory the application sees it, which language's
    agent it is, and which version of the harness has written it (both empty: one that did not say so yet)."""

    token: str
    records: str
    order: str
    root: str
    runtime: str = ""
    version: str = ""


def environment(variables: Mapping[str, str], runtime: str) -> str:
    """The text of a new agent.env."""
    lines = {**variables, "HARNESS_RUNTIME": runtime, "HARNESS_VERSION": __version__}
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def deployed(data: bytes | None) -> Deployed | str:
    """``data``: agent.env, None where there is none. Where it is not one of ours, why."""
    if data is None:
        return f"{ENVIRONMENT} is not there"
    lines = data[:ENVIRONMENT_CAP].decode("utf-8", "replace").splitlines()
    said = dict(line.partition("=")[::2] for line in lines)
    names = ("RECORDS", "ORDERS", "TOKEN", "RUNTIME", "VERSION")
    found = named(*(said.get(f"HARNESS_{name}", "") for name in names))
    return found or f"{ENVIRONMENT} is not one that `harness agent` has written"


def for_runtime(found: Deployed | str, runtime: str) -> Deployed | str:
    """As `deployed`; also why it is of no use for programs of this runtime."""
    if isinstance(found, Deployed) and found.runtime not in ("", runtime):
        return f"it is one for {found.runtime}, and target.runtime is {runtime}"
    return found


def named(records: str, order: str, token: str, runtime: str = "", version: str = "") -> Deployed | None:
    """Names that are certainly those of files in the directory, or None."""
    found = _RECORDS.match(records)
    if found is None or not _TOKEN.match(token) or not order.startswith(f"{found[1]}/"):
        return None
    relative = order[len(found[1]) + 1 :]
    if not _ORDER.match(relative):
        return None
    said = [text if _WORD.match(text) else "" for text in (runtime, version)]
    return Deployed(token, found[2], relative, found[1], *said)


def no_agent(directory: PurePath, why: str) -> str:
    """In words."""
    return f"{directory} holds no agent: {why}"


def unusable(directory: PurePath, why: str) -> str:
    """Of a directory that is one of ours, in words."""
    return f"the agent's directory {directory} cannot be used: {why}"


def other_version(found: Deployed) -> str:
    """That it is an agent of another version than this one, in words; empty where it is of this one."""
    if found.version == __version__:
        return ""
    writer = f"version {found.version}" if found.version else "an earlier version"
    return f"the agent was written by {writer} of the harness, and this is {__version__}"
