"""The first scenario for a target: a few lines to grow from."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.errors import ScenarioError, UsageError
from harness.scenario.published import FILE_NAME
from harness.scenario.source import parse_source

_OBSERVE = "load: {observe: 10m}"
_ROUNDS = "load: {rounds: 8, requests_per_round: 1000, concurrency: 4}"


def starter_text(
    *,
    name: str,
    runtime: str,
    launch: Sequence[str] | None,
    attach: tuple[str, str | int] | None,
    url: str | None,
    path: str = "/",
    each_round: bool = False,
    cwd: str | None = None,
    container: str | None = None,
    hosts: Sequence[str] = (),
) -> str:
    """A scenario file of about a dozen lines.

    ``launch``, ``attach`` (key and value) or ``container`` (its name) is the way in, ``url`` the origin of the application, or
    None when it has none: then it is only watched. ``each_round``: ``launch`` is a job to run once a round. ``cwd``: where
    ``launch`` is to run, as seen from the scenario file; None for its own directory. ``hosts``: addresses of the other hosts that
    what is attached to, or the container, is on. UsageError for a command that no scenario can hold.
    """
    lines = [
        f"# yaml-language-server: $schema={FILE_NAME}",
        f"name: {scalar(name)}",
        "target:",
        f"  runtime: {scalar(runtime)}",
    ]
    job = launch is not None and each_round
    if launch is not None and not job:
        lines.append(f"  launch: {scalar(shlex.join(launch).replace('${', '$${'))}")
    if launch is not None and cwd is not None:
        lines.append(f"  cwd: {scalar(cwd)}")
    lines += _hosts(hosts, container)
    if attach is not None:
        lines.append(f"  attach: {{{attach[0]}: {scalar(attach[1], flow=True)}}}")
    if container is not None and len(hosts) < 2:
        lines.append(f"  container: {scalar(container)}")
    if url is not None and not job:
        lines += [f"  url: {scalar(url)}" if hosts else f"  ready: {scalar(url + path)}", "requests:"]
        lines.append(f"  - {{name: {scalar(_endpoint(path), flow=True)}, get: {scalar(path, flow=True)}}}")
    if job:
        command = shlex.join(launch or ()).replace("${", "$${")
        lines.append(f"load: {{rounds: 8, each_round: {scalar(command, flow=True)}}}")
    else:
        lines.append(_OBSERVE if url is None else _ROUNDS)
    if hosts and url is not None and runtime == "python":
        lines.append("profile: none  # a profiler needs the agent there: harness agent ssh://HOST/DIRECTORY")
    elif attach is not None and url is not None and runtime == "python":
        lines.append("profile: none  # a profiler needs target.python.inject: true")
    elif container is not None and url is not None:
        lines.append("profile: none  # a profiler needs the agent in the container: harness agent")
    lines.append("expect: [verdict is healthy]")
    return "\n".join(lines) + "\n"


def _hosts(hosts: Sequence[str], container: str | None) -> list[str]:
    if len(hosts) < 2:
        return [f"  host: {scalar(address)}" for address in hosts]
    inside = "" if container is None else f", container: {scalar(container, flow=True)}"
    return ["  hosts:", *(f"    - {{host: {scalar(address, flow=True)}, role: web{inside}}}" for address in hosts)]


def scalar(value: str | int, *, flow: bool = False) -> str:
    """``value`` as YAML that reads back as the same value, without quotes where it can. UsageError for control characters."""
    if isinstance(value, int):
        return str(value)
    if not value.isprintable():
        raise UsageError(f"{value!r} holds control characters", hint="put them into a file or an environment variable")
    if _reads_back(value, value, flow):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    if not _reads_back(quoted, value, flow):
        raise UsageError(f"{value!r} cannot be written as YAML")
    return quoted


def _reads_back(written: str, value: str, flow: bool) -> bool:
    text = f"{{key: {written}}}\n" if flow else f"key: {written}\n"
    try:
        return parse_source(text, Path("-")).data == {"key": value}
    except ScenarioError:
        return False


def _endpoint(path: str) -> str:
    """A stable endpoint name from a path, without its query."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", path.partition("?")[0]).strip("-.")
    return words[:80] or "home"
