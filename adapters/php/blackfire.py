"""The tool ``blackfire`` of PHP: profiles by Blackfire's own extension, on an account of the user's.

A request is signed by Blackfire's API, its profile goes through our relay to Blackfire's agent, and what is collected is the
relay's copy. A script runs once more under the user's ``blackfire run``. See docs/blackfire.md for what was tested against what:
the extension, the agent and the command cannot be had without an account.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from adapters.blackfire import copies
from adapters.blackfire.credentials import find_credentials
from adapters.blackfire.recording import fingerprint
from adapters.formats import blackfire_profile
from adapters.formats.blackfire_probe import BODY_CAP_BYTES
from adapters.php.command import parse_command
from adapters.php.ini import define_options
from adapters.php.installed import find_fpm, inspect_php
from adapters.php.options import Blackfire, PhpOptions
from adapters.php.state import Places
from harness.errors import HarnessError, TargetError, UsageError
from harness.model.profile import Artifact, ArtifactStatus, Profile
from harness.plugins.spec import AdapterContext, Check, CheckLevel, LaunchPlan, Prepared, ProfiledResponse, Trigger

NAME = "blackfire"
HEADER = "X-Blackfire-Query"
_SOCKET_SETTING = "blackfire.agent_socket"
_SETTINGS = {"blackfire.apm_enabled": "0"}  # monitoring of its own would be in the measured rounds
_WAIT_S, _WAIT_WITHOUT_WORD_S = 15.0, 1.0
_API_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 2.0
_RESULT_CAP_BYTES = 1 << 20
_ARTIFACTS_CAP = 8
_COSTS = "no request has a profile of Blackfire"
_ARGUMENTS: Mapping[str, str] = {
    "aggreg_samples": "1",
    "flag_cpu": "1",
    "flag_memory": "1",
    "flag_timespan": "1",
    "timespan_threshold": "1",  # ms
    "profile_title": "harness",
}


# --- before the run ---------------------------------------------------------------------------------------------------


def check(context: AdapterContext, options: PhpOptions, plans: Sequence[LaunchPlan]) -> Iterator[Check]:
    """What is missing for it, each with what to do; nothing when it was not asked for."""
    if NAME not in context.tools:
        return
    section = options.blackfire
    if section is None:
        yield _error(
            "php.blackfire",
            "profile: [blackfire] needs target.php.blackfire, which says where your Blackfire agent listens",
            "target: {php: {blackfire: {agent: 'unix:///var/run/blackfire/agent.sock', listen: 'tcp://127.0.0.1:8308'}}}",
        )
        return
    try:
        credentials = find_credentials(os.environ)
        yield Check("php.blackfire.account", CheckLevel.INFO, f"credentials from {credentials.source}")
    except HarnessError as error:
        yield _error("php.blackfire.account", error.message, error.hint)
    yield from _agent(section.agent)
    yield from _listen(section)
    yield from _extension(options, plans, section)


def _agent(url: str) -> Iterator[Check]:
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            if not stat.S_ISSOCK(Path(parts.path).stat().st_mode):
                yield _error(
                    "php.blackfire.agent", f"{parts.path} is not a socket", "correct target.php.blackfire.agent"
                )
                return
            with socket.socket(socket.AF_UNIX) as trial:
                trial.settimeout(_CONNECT_TIMEOUT_S)
                trial.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        yield _error(
            "php.blackfire.agent", f"Blackfire's agent cannot be reached at {url}: {error.strerror or error}",
            "start it (systemctl start blackfire-agent), or correct target.php.blackfire.agent",
        )  # fmt: skip


def _listen(section: Blackfire) -> Iterator[Check]:
    parts = urlsplit(section.listen)
    if parts.scheme == "unix":
        return  # whether it is free is seen when the relay starts
    try:
        with socket.socket(socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((parts.hostname, parts.port or 0))
    except OSError as error:
        yield _error(
            "php.blackfire.listen", f"the relay cannot listen at {section.listen}: {error.strerror or error}",
            "choose another target.php.blackfire.listen",
        )  # fmt: skip


def _extension(options: PhpOptions, plans: Sequence[LaunchPlan], section: Blackfire) -> Iterator[Check]:
    """Whether Blackfire's extension is in the PHP that is started; of one that runs already, and of mod_php, what it needs."""
    fpm = find_fpm() if options.serve is not None and options.serve.web != "mod_php" else None
    commands: list[tuple[Sequence[str], Path | None]] = [] if fpm is None else [((fpm,), None)]
    for plan in plans:
        command = parse_command(plan.argv)
        if plan.measured and command is not None:
            commands.append((command.configuration, plan.cwd))
    for words, cwd in commands:
        try:
            build = inspect_php(words, None, cwd)
        except TargetError:
            continue  # said by the checks of PHP itself
        if _SOCKET_SETTING not in build.directives:
            yield _error(
                "php.blackfire.extension", f"Blackfire's extension is not in {build.binary} (PHP {build.version})",
                "install blackfire-php from the vendor's packages, see docs.blackfire.io; or profile with xdebug",
            )  # fmt: skip
    if not commands:
        yield Check(
            "php.blackfire.extension", CheckLevel.INFO,
            "the PHP that runs must have Blackfire's extension, and it must talk to our relay",
            f"{_SOCKET_SETTING} = {section.listen}   (and reload PHP)",
        )  # fmt: skip


def _error(name: str, message: str, fix: str | None) -> Check:
    return Check(name, CheckLevel.ERROR, message, fix, _COSTS)


# --- the launch -------------------------------------------------------------------------------------------------------


def pointed(context: AdapterContext, options: PhpOptions) -> PhpOptions:
    """Options whose launched PHP finds the relay where the probe looks for the agent."""
    if NAME not in context.tools or options.blackfire is None:
        return options
    ini = {_SOCKET_SETTING: options.blackfire.listen, **_SETTINGS}
    serve = options.serve and replace(options.serve, ini={**options.serve.ini, **ini})
    return replace(options, ini={**options.ini, **ini}, serve=serve)


def with_relay(context: AdapterContext, options: PhpOptions, prepared: Prepared) -> Prepared:
    """The relay as one more program of the profiled pass."""
    if NAME not in context.tools or options.blackfire is None:
        return prepared
    relay = copies.plan(context.work_dir, options.blackfire.listen, options.blackfire.agent)
    return replace(prepared, plans=(*prepared.plans, relay))


# --- one profile ------------------------------------------------------------------------------------------------------


def trigger_for(
    context: AdapterContext, options: PhpOptions, script: Sequence[str] | None, *, ends: bool = True
) -> Trigger:
    """A query signed by Blackfire for one request, or the script under ``blackfire run``. HarnessError."""
    if options.blackfire is None:
        raise UsageError("profile: [blackfire] needs target.php.blackfire", hint="see docs/blackfire.md")
    if context.away is not None or context.outside_pid is not None:
        raise UsageError("Blackfire is used for what this run starts itself on this machine, where its relay is")
    if script is not None:
        if not ends:
            raise UsageError("Blackfire profiles no worker that goes on: a profile ends with its script")
        return _script(context, script)
    from adapters.blackfire.api import Api  # noqa: PLC0415  (httpx: 50 ms that nobody else needs)

    credentials = find_credentials(os.environ)
    limited = replace(credentials, timeout_s=min(credentials.timeout_s, _API_TIMEOUT_S))
    with Api(limited) as api:
        return Trigger(NAME, headers={HEADER: api.sign(_ARGUMENTS).query})


def _script(context: AdapterContext, script: Sequence[str]) -> Trigger:
    directory = context.work_dir.resolve() / NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        result = next(path for n in range(10_000) if not (path := directory / f"run-{n}.json").exists())
    except (OSError, StopIteration) as error:
        raise UsageError(f"cannot write to {directory}") from error
    command, words = parse_command(script), tuple(script)
    if command is not None:
        settings = [f"{_SOCKET_SETTING}=", *(f"{name}=" for name in _SETTINGS)]
        ours = [o.value for o in command.options if o.letter == "d" and (o.value or "").startswith(tuple(settings))]
        agents = Places(context.work_dir).root.glob("agent*/prepend.php")
        ours += [define_options({"auto_prepend_file": str(prepend)})[1] for prepend in agents]
        for text in ours:
            command = command.without(text or "")
        words = command.argv
    environment = os.environ.get("BLACKFIRE_ENV", "")
    wrapper = [sys.executable, "-P", "-m", "adapters.blackfire.cli", "--result", str(result), "--title", "harness"]
    wrapper += ["--env", environment] if environment else []
    return Trigger(NAME, argv=(*wrapper, "run", "--", *words))


def collect_from(
    context: AdapterContext, adapter: str, trigger: Trigger, response: ProfiledResponse, destination: Path
) -> list[Artifact]:
    """The relay's copies of the query that the trigger carried, or what ``blackfire run`` has told."""
    destination.mkdir(parents=True, exist_ok=True)
    name = f"php-blackfire-{re.sub('[^0-9a-z]', '', response.span_id) or response.start_ns}"
    if trigger.argv is not None:
        return [_of_script(adapter, trigger.argv, response, destination / f"{name}.bf")]
    mark = fingerprint(trigger.headers.get(HEADER, ""))
    told, refusal = response.headers.get("x-blackfire-response"), response.headers.get("x-blackfire-error")
    found = copies.copies_of(context.work_dir, mark, _WAIT_S if told and not refusal else _WAIT_WITHOUT_WORD_S)
    if not found:
        return [_artifact(adapter, response, None, ArtifactStatus.MISSING, _silence(told, refusal))]
    more = dict(parse_qsl(told or "")).get("continue") == "true"
    artifacts = []
    for number, copy in enumerate(found[:_ARTIFACTS_CAP]):
        suffix = f"-{number + 1}" if number else ""
        problem = copy.problem or ("Blackfire wanted the request to be repeated, which was not done" if more else "")
        if copy.body is None:
            artifacts.append(
                _artifact(adapter, response, None, ArtifactStatus.MISSING, problem or "no profile was sent")
            )
            continue
        path = destination / f"{name}{suffix}.bf"
        shutil.copyfile(copy.body, path)
        status = ArtifactStatus.TRUNCATED if copy.problem else ArtifactStatus.COMPLETE
        times = {
            "session_start_ns": copy.hello_ns,
            "session_end_ns": copy.end_ns,
            "sub_profile": copy.sub_profile or None,
        }
        artifacts.append(_artifact(adapter, response, path, status, problem, {**times, "found_by": "query"}))
    return artifacts


def _silence(told: str | None, refusal: str | None) -> str:
    if refusal:
        return f"Blackfire's extension answered: {refusal[:300]}"
    if told:
        return f"the extension says that it sent its profile, and none came to the relay: is {_SOCKET_SETTING} its address?"
    return (
        "the response has no word of Blackfire: its extension is not in this PHP, does not accept the signature, or talks to "
        "another agent than the relay"
    )


def _of_script(adapter: str, argv: Sequence[str], response: ProfiledResponse, path: Path) -> Artifact:
    from adapters.blackfire.cli import FORMAT  # noqa: PLC0415  (a program of its own)

    result = Path(argv[argv.index("--result") + 1])
    try:
        told = json.loads(result.read_bytes()[:_RESULT_CAP_BYTES])
        if told["format"] != FORMAT:
            raise ValueError("another version")
    except (OSError, ValueError, KeyError, TypeError):
        return _artifact(
            adapter, response, None, ArtifactStatus.MISSING, "blackfire run was ended before it told anything"
        )
    graph = result.with_name(f"{result.name}.bf")
    if not graph.exists():
        return _artifact(adapter, response, None, ArtifactStatus.MISSING, str(told["problem"]) or "there is no graph")
    shutil.copyfile(graph, path)
    attributes = {"found_by": "blackfire run", "profile_uuid": str(told["uuid"]), "graph_url": told.get("graph_url")}
    return _artifact(adapter, response, path, ArtifactStatus.COMPLETE, "", attributes)


def _artifact(
    adapter: str,
    response: ProfiledResponse,
    path: Path | None,
    status: ArtifactStatus,
    detail: str,
    attributes: Mapping[str, str | int | None] | None = None,
) -> Artifact:
    return Artifact(
        tool=NAME,
        adapter=adapter,
        path=None if path is None else path.name,
        status=status,
        span_id=response.span_id or None,
        endpoint=response.endpoint,
        pid=None,
        t_ns=response.end_ns,
        size_bytes=None if path is None else path.stat().st_size,
        detail=detail,
        attributes=attributes or {},
    )


def read(path: Path) -> Profile:
    """A collected file; ValueError with a reason when it is not what it should be."""
    with path.open("rb") as stream:
        return blackfire_profile.read(stream.read(BODY_CAP_BYTES + 1))
