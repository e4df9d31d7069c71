"""The scenario file as typed, frozen models: field by field what the file says, in base units.

The models mirror the file, and their descriptions become the published JSON Schema. Strings keep ``${NAME}`` unresolved
(see `harness.scenario.variables`), so a stored scenario holds no secret. Read files with
`harness.scenario.reader.read_scenario`, which adds positions, did-you-mean and the checks across sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    RootModel,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.scenario.addresses import HOST_PATTERN, LOCAL, POD, SSH_PATTERN, called
from harness.scenario.base import Model, PathText
from harness.scenario.expect import JSON_PATTERN, Expectation, parse_expectation
from harness.scenario.fields import (
    AlsoAccepts,
    Amount,
    Command,
    CookieName,
    DurationNs,
    EnvName,
    EnvValue,
    Flag,
    HeaderName,
    HttpUrl,
    RateRange,
    ReadyUrl,
    RequestPath,
    Share,
    ShareOrSize,
    SingleLine,
    SizeBytes,
    Text,
    VariableName,
    Whole,
    between,
    split_command,
)
from harness.scenario.runtimes import PhpOptions, PythonOptions, checked_functions
from harness.scenario.shape import (
    ATTACH,
    CAPTURE,
    ENGINE_KEYS,
    METHODS,
    attach_mistakes,
    capture_mistakes,
    engine_mistakes,
    request_mistakes,
    target_mistakes,
    ways_in,
)

if TYPE_CHECKING:
    from harness.scenario.source import Source

MIN_ROUNDS = 7
VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
PROGRAM_PATTERN = r"^[A-Za-z0-9_./+-]{1,400}$"
LISTEN_PATTERN = r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"
_SECOND = 1_000_000_000

Port = Annotated[Whole, Field(ge=1, le=65535)]
Environment = Mapping[EnvName, EnvValue]


def _raise_first(mistakes: Iterator[str]) -> None:
    """For models: the reader reports all mistakes of a section itself."""
    for text in mistakes:
        raise PydanticCustomError("mistake", "{text}", {"text": text})


# --- target ---------------------------------------------------------------------------------------------------------


class ProgramSpec(Model):
    """One program to start."""

    name: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Name of its pool in reports."
    )
    run: Command = Field(description="The command line. It is split into words but not run by a shell.")
    cwd: PathText | None = Field(default=None, description="Working directory, relative to the scenario file.")
    env: Environment = Field(default={}, description="Environment variables for this program only.")
    measured: Flag = Field(default=True, description="Whether it belongs to the application (a proxy does not).")

    @property
    def argv(self) -> tuple[str, ...]:
        return split_command(self.run)


class AttachSpec(Model):
    """A running application to attach to, by exactly one of these."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [k]} for k in ATTACH]})

    port: Port | None = Field(default=None, description="Whoever listens on this TCP port, with its children.")
    pid: Annotated[Whole, Field(ge=1, le=2**22)] | None = Field(
        default=None, description="This process, with its children."
    )
    match: Annotated[str, Field(min_length=3, max_length=512)] | None = Field(
        default=None, description="Every process whose command line contains this text, such as 'php-fpm: pool www'."
    )
    pidfile: PathText | None = Field(
        default=None, description="The process whose pid is in this file, with its children."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> AttachSpec:
        _raise_first(attach_mistakes({key: getattr(self, key) for key in ATTACH}))
        return self


class ContainerSpec(Model):
    """A container of docker or podman that runs on this machine. See docs/containers.md."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", description="Its name or id, as docker ps shows it."
    )
    role: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")] | None = Field(
        default=None, description="What it is for, such as web, worker or db; its pool is called so."
    )
    measured: Flag = Field(
        default=True,
        description="Whether it belongs to the application (a database does not): else it is only watched.",
    )
    agent: PathText | None = Field(
        default=None,
        description="Directory of this machine that is mounted into it and holds the agent (harness agent).",
    )


def _container(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _container_list(value: object) -> object:
    return tuple(_container(item) for item in value) if isinstance(value, list | tuple) else value


Container = Annotated[ContainerSpec, BeforeValidator(_container), AlsoAccepts(type="string", minLength=1)]


class HostSpec(Model):
    """Another host, reached with the ssh or kubectl command of this machine, or this machine; nothing is installed there."""

    host: Annotated[str, Field(pattern=HOST_PATTERN, max_length=600)] = Field(
        description="ssh://host, ssh://user@host or ssh://user@host:port (aliases of ~/.ssh/config are hosts too); "
        "kubectl://namespace/pod or kubectl://namespace/pod/container; local for this machine beside others."
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = Field(
        default=None, description="Name in reports; the host of its address when left out."
    )
    role: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")] = Field(
        default="app", description="What it is for, such as web, worker or db; hosts of one role are compared."
    )
    measured: Flag = Field(
        default=True,
        description="Whether it belongs to the application (a database does not): else it is only watched.",
    )
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")] | None = Field(
        default=None, description="Version of the application on it, where hosts of one role have different ones."
    )
    attach: AttachSpec | None = Field(
        default=None, description="What to watch there, when it is not what target.attach says."
    )
    agent: Annotated[str, Field(pattern=r"^/[^\x00-\x1f]{1,400}$")] | None = Field(
        default=None,
        description="Directory there with the agent that the application was started with (harness agent ssh://...).",
    )
    container: Container | None = Field(
        default=None, description="A running container of that host that is watched there."
    )
    containers: tuple[Container, ...] = Field(
        default=(), max_length=32, description="Several running containers of that host, each with its role."
    )

    @property
    def label(self) -> str:
        """How reports and processes name it."""
        return self.name or called(self.host)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host == LOCAL

    @property
    def in_containers(self) -> tuple[ContainerSpec, ...]:
        """The containers of that host that are watched; none where its processes are."""
        return self.containers if self.container is None else (self.container,)

    def watched(self, attach: AttachSpec | None) -> AttachSpec | None:
        """What is watched there, where ``attach`` is what the target says: in a pod else all that its container runs."""
        return self.attach or attach or (AttachSpec(pid=1) if POD.fullmatch(self.host) else None)


def _host(value: object) -> object:
    return {"host": value} if isinstance(value, str) else value


def _host_list(value: object) -> object:
    return tuple(_host(item) for item in value) if isinstance(value, list | tuple) else value


Host = Annotated[HostSpec, BeforeValidator(_host), AlsoAccepts(type="string", minLength=1)]


def _launch_list(value: object) -> object:
    programs = [value] if isinstance(value, str) else value
    if not isinstance(programs, list | tuple):
        return programs
    return tuple({"run": p} if isinstance(p, str) else p for p in programs)


class TargetSpec(Model):
    """The application under test."""

    runtime: str = Field(default="any", pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="python, php or any.")
    launch: Annotated[
        tuple[Annotated[ProgramSpec, AlsoAccepts(type="string", minLength=1)], ...],
        BeforeValidator(_launch_list),
        AlsoAccepts(type="string", minLength=1),
    ] = Field(default=(), max_length=32, description="Command to start, or several, started in this order.")
    attach: AttachSpec | None = Field(
        default=None, description="Attach to a running application instead of starting one."
    )
    container: Container | None = Field(
        default=None, description="A running container of docker or podman, watched from this machine."
    )
    containers: tuple[Container, ...] = Field(
        default=(), max_length=32, description="Several running containers, each with its role."
    )
    host: Host | None = Field(
        default=None, description="Another host that the target is on, such as ssh://deploy@staging-1."
    )
    hosts: Annotated[tuple[Host, ...], BeforeValidator(_host_list)] = Field(
        default=(), max_length=64, description="Several hosts, each with its role, that are watched in one run."
    )
    ready: ReadyUrl | None = Field(
        default=None,
        description="Address that answers (below 500) when the target is ready; tcp://host:port only connects.",
    )
    url: HttpUrl | None = Field(default=None, description="Where requests go; the origin of ready when left out.")
    cwd: PathText | None = Field(default=None, description="Working directory, relative to the scenario file.")
    env: Environment = Field(default={}, description="Environment variables for everything that is launched.")
    start_timeout_ns: DurationNs = Field(
        default=30 * _SECOND, alias="start_timeout", description="How long it may take to be ready."
    )
    stop_timeout_ns: DurationNs = Field(
        default=10 * _SECOND,
        alias="stop_timeout",
        description="How long to wait after each of the signals INT, TERM and KILL.",
    )
    python: PythonOptions | None = Field(default=None, description="Options of the Python adapter.")
    php: PhpOptions | None = Field(default=None, description="Options of the PHP adapter.")

    @model_validator(mode="after")
    def _one_way_in(self) -> TargetSpec:
        _raise_first(target_mistakes(self._section()))
        names = [p.name for p in self.launch if p.name is not None]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            _raise_first(iter([f"two programs are called {twice[0]!r}"]))
        return self

    @property
    def elsewhere(self) -> tuple[HostSpec, ...]:
        """The other hosts it is on; none for a target on this machine."""
        if self.host is None:
            return tuple(host for host in self.hosts if not host.is_local)
        contained = {"container": self.container, "containers": self.containers}
        return (self.host.model_copy(update=contained) if self.container or self.containers else self.host,)

    @property
    def here(self) -> tuple[HostSpec, ...]:
        """This machine as one of several hosts; at most one."""
        return tuple(host for host in self.hosts if host.is_local)

    @property
    def takes_agents(self) -> bool:
        """On other hosts: whether agents are in its processes, because it is started with one or was."""
        return bool(self.elsewhere) and (bool(self.launch) or any(host.agent is not None for host in self.elsewhere))

    @property
    def in_containers(self) -> tuple[ContainerSpec, ...]:
        """The containers of this machine that it runs in; none for a target that does not."""
        if self.host is not None:
            return ()  # they are that host's
        return self.containers if self.container is None else (self.container,)

    @property
    def ways_in(self) -> tuple[str, ...]:
        """Which of launch, attach, container(s) and php.serve are given: one, or none for a target that ``each_round`` runs."""
        return ways_in(self._section())

    def _section(self) -> dict[str, object]:
        serve = None if self.php is None else self.php.serve
        python = None if self.python is None else self.python.model_dump()
        options = {"python": python, "php": None if self.php is None else {"serve": serve}}
        contained = {
            "container": self.container and self.container.model_dump(),
            "containers": [spec.model_dump() for spec in self.containers],
        }
        hosts = {"host": self.host and self.host.model_dump(), "hosts": [spec.model_dump() for spec in self.hosts]}
        return {"launch": self.launch, "attach": self.attach, "runtime": self.runtime, **contained, **hosts, **options}

    @property
    def base_url(self) -> str | None:
        """Where relative request paths go: ``url``, else the origin of ``ready``, the served address or the port."""
        if self.url is not None:
            return self.url.rstrip("/")
        if self.ready is not None:
            parts = urlsplit(self.ready)
            return f"{'http' if parts.scheme == 'tcp' else parts.scheme}://{parts.netloc}"
        if self.php is not None and self.php.serve is not None:
            return f"http://{self.php.serve.listen}"
        if self.attach is not None and self.attach.port is not None:
            return f"http://127.0.0.1:{self.attach.port}"
        return None

    @property
    def adapter_options(self) -> dict[str, Any]:
        """The ``target.<runtime>`` section for `AdapterContext.options`, keys as in the file, defaults filled in."""
        sections: Mapping[str, Model] = {"python": self.python or PythonOptions(), "php": self.php or PhpOptions()}
        options = sections.get(self.runtime)
        return {} if options is None else options.model_dump(mode="json", by_alias=True)


# --- requests -------------------------------------------------------------------------------------------------------


class CaptureSpec(Model):
    """A variable taken from the response of an earlier request, by exactly one of regex, header and json."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [k]} for k in CAPTURE]})

    source: str = Field(alias="from", description="Name of the request whose response holds the value.")
    regex: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="Regular expression searched in the body."
    )
    header: HeaderName | None = Field(default=None, description="Response header that holds the value.")
    json_path: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, alias="json", description="Dotted path into a JSON body, such as data.items.0.id."
    )
    group: Annotated[Whole, Field(ge=0, le=99)] = Field(default=1, description="Group of the regular expression.")
    fresh: Flag = Field(
        default=False,
        description="Send the `from` request again before every use, instead of using this user's last response.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> CaptureSpec:
        _raise_first(capture_mistakes({"regex": self.regex, "header": self.header, "json": self.json_path}))
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except (re.error, RecursionError, OverflowError) as exc:
                raise ValueError(f"the regular expression is wrong: {exc}") from None
            if self.group > groups:
                raise ValueError(
                    f"the regular expression has no group {self.group}: put ( ) around the value, or write group: 0"
                )
        return self


def _status_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class CheckSpec(Model):
    """What a response must be for the request to count as a success. Without a status, anything below 400 passes."""

    status: Annotated[
        tuple[Annotated[Whole, Field(ge=100, le=599)], ...],
        BeforeValidator(_status_list),
        AlsoAccepts(type="integer", minimum=100, maximum=599),
    ] = Field(default=(), description="Accepted status, or several.")
    contains: Text | None = Field(default=None, description="Text the body must contain.")
    not_contains: Text | None = Field(default=None, description="Text the body must not contain.")
    max_latency_ns: DurationNs | None = Field(default=None, alias="max_latency", description="Slower is a failure.")


class RequestSpec(Model):
    """One kind of request: its name is the endpoint in all reports."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [m]} for m in METHODS]})

    name: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="Stable name of the endpoint.")
    get: RequestPath | None = Field(default=None, description="Path to GET.")
    post: RequestPath | None = Field(default=None, description="Path to POST to.")
    put: RequestPath | None = Field(default=None, description="Path to PUT to.")
    patch: RequestPath | None = Field(default=None, description="Path to PATCH.")
    delete: RequestPath | None = Field(default=None, description="Path to DELETE.")
    head: RequestPath | None = Field(default=None, description="Path to HEAD.")
    options: RequestPath | None = Field(default=None, description="Path for OPTIONS.")
    weight: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(default=1, description="Share of the traffic.")
    once: Flag = Field(
        default=False, description="Done once by each simulated user before anything else, such as a login."
    )
    headers: Mapping[HeaderName, SingleLine] = Field(default={}, description="Request headers.")
    cookies: Mapping[CookieName, SingleLine] = Field(
        default={}, description="Cookies added to those the server has set."
    )
    query: Mapping[str, Text] = Field(default={}, description="Query string, encoded for you.")
    form: Mapping[str, Text] | None = Field(default=None, description="Form fields, sent URL-encoded.")
    json_body: JsonValue = Field(default=None, alias="json", description="JSON body.")
    body: str | None = Field(default=None, description="Body as it is; set a Content-Type header with it.")
    capture: Mapping[VariableName, CaptureSpec] = Field(
        default={}, description="Variables used as ${name}, here or in any request, and the responses they come from."
    )
    check: CheckSpec = Field(default=CheckSpec(), description="What counts as a success.")
    follow_redirects: Flag = Field(default=False, description="Follow redirects; each hop belongs to this request.")
    timeout_ns: DurationNs = Field(default=30 * _SECOND, alias="timeout", description="Give up after this long.")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("a request name is printable text without spaces at its ends")
        return name

    @model_validator(mode="after")
    def _one_method_one_body(self) -> RequestSpec:
        sent = {"name": self.name, "form": self.form, "json": self.json_body, "body": self.body}
        _raise_first(request_mistakes({**sent, **{method: getattr(self, method) for method in METHODS}}))
        return self

    @property
    def method(self) -> str:
        """Upper-case HTTP method."""
        return next(m for m in METHODS if getattr(self, m) is not None).upper()

    @property
    def path(self) -> str:
        """Path and query below the base URL, possibly with ``${NAME}`` in it."""
        path: str = getattr(self, self.method.lower())
        return path


# --- load -----------------------------------------------------------------------------------------------------------


def _enough_rounds(rounds: int) -> int:
    if rounds < MIN_ROUNDS:
        raise ValueError(
            f"{rounds} rounds are too few: growth is judged on the trend over at least {MIN_ROUNDS} rounds "
            "(8 is the default; lower requests_per_round for a shorter run)"
        )
    return rounds


Rounds = Annotated[Whole, Field(le=10_000), BeforeValidator(lambda v: _enough_rounds(v) if type(v) is int else v)]
WarmupRounds = Annotated[Whole, Field(ge=0, le=1000)]


class Senders(Model):
    """Which processes send, where one is not enough: those of the engine Locust."""

    workers: Annotated[Whole, Field(ge=0, le=256)] | None = Field(
        default=None, description="Locust workers on this machine; 2 when left out, 0 with remote_workers."
    )
    remote_workers: Annotated[Whole, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Locust workers that will come from other machines, started there by you."
    )
    listen: Annotated[str, Field(pattern=LISTEN_PATTERN)] | None = Field(
        default=None, description="HOST:PORT where workers from other machines find the master."
    )
    wait_ns: DurationNs | None = Field(
        default=None, alias="wait", description="How long to wait for all workers; 1m when left out."
    )

    @property
    def engine_options(self) -> dict[str, Any]:
        """What was said, for `harness.load.swarm.processes.Team`."""
        elsewhere = self.remote_workers or getattr(self, "hosts", None)
        local = self.workers if self.workers is not None else (0 if elsewhere else 2)
        said = {"remote_workers": self.remote_workers, "listen": self.listen}
        wait = {} if self.wait_ns is None else {"wait_s": self.wait_ns / 1e9}
        return {"workers": local, **{k: v for k, v in said.items() if v is not None}, **wait}


class SenderHost(Model):
    """Another host to send from, reached with the ssh command of this machine."""

    host: Annotated[str, Field(pattern=SSH_PATTERN, max_length=400)] = Field(
        description="ssh://host, ssh://user@host or ssh://user@host:port. Aliases of ~/.ssh/config are hosts too."
    )
    workers: Annotated[Whole, Field(ge=1, le=256)] = Field(default=1, description="Locust workers on it.")
    python: Annotated[str, Field(pattern=PROGRAM_PATTERN)] = Field(
        default="python3", description="Its Python (3.11 or newer) with Locust."
    )


class EngineLoad(Senders):
    """Traffic of this scenario's requests, by one engine or another."""

    engine: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] | None = Field(
        default=None, description="What sends: locust, or the built-in generator when left out.", examples=["locust"]
    )
    hosts: Annotated[
        tuple[Annotated[SenderHost, AlsoAccepts(type="string", minLength=1)], ...] | None, BeforeValidator(_host_list)
    ] = Field(default=None, max_length=64, description="Other hosts on which Locust workers are started over SSH.")

    @model_validator(mode="after")
    def _engine_fits(self) -> EngineLoad:
        _raise_first(engine_mistakes({key: getattr(self, key) for key in ("engine", *ENGINE_KEYS)}))
        return self


class RoundsLoad(EngineLoad):
    """Identical rounds of requests at a fixed concurrency: the load that growth is best judged on."""

    rounds: Rounds = Field(
        default=8, json_schema_extra={"minimum": MIN_ROUNDS}, description="Measured rounds, at least 7."
    )
    requests_per_round: Annotated[Whole, Field(ge=1, le=10_000_000)] = Field(
        default=1000, description="Requests in each."
    )
    concurrency: Annotated[Whole, Field(ge=1, le=10_000)] = Field(default=4, description="Simulated users.")
    warmup_rounds: WarmupRounds = Field(default=2, description="Rounds before the measured ones.")
    blocks: Annotated[Whole, Field(ge=1, le=1000)] = Field(
        default=5, description="Parts of a round with different shares of the endpoints, which tell apart who grows."
    )
    settle_ns: DurationNs = Field(
        default=300_000_000, alias="settle", description="Quiet time before a round's end is measured."
    )
    seed: Annotated[Whole, Field(ge=0, le=2**63 - 1)] = Field(default=1, description="Seed of the order of requests.")

    @model_validator(mode="after")
    def _blocks_fit(self) -> RoundsLoad:
        if self.blocks > self.requests_per_round:
            raise ValueError(
                f"{self.blocks} blocks do not fit into {self.requests_per_round} requests_per_round: raise it or write blocks: 1"
            )
        return self


class EachRoundLoad(Model):
    """Rounds of work made by a command: jobs for a queue worker, or a script run to completion."""

    each_round: Command = Field(description="Command that makes, or is, one round of work. Not run by a shell.")
    rounds: Rounds = Field(
        default=8, json_schema_extra={"minimum": MIN_ROUNDS}, description="Measured rounds, at least 7."
    )
    warmup_rounds: WarmupRounds = Field(default=1, description="Rounds before the measured ones.")
    settle_ns: DurationNs = Field(
        default=300_000_000, alias="settle", description="Quiet time before a round's end is measured."
    )
    timeout_ns: DurationNs = Field(default=600 * _SECOND, alias="timeout", description="How long one round may take.")

    @property
    def argv(self) -> tuple[str, ...]:
        return split_command(self.each_round)


class CommandLoad(Model):
    """Traffic made by another program (k6, wrk, ab, ...). Its requests are known from what is recorded inside the target."""

    command: Command = Field(description="The program that sends. Not run by a shell.")
    duration_ns: DurationNs | None = Field(
        default=None, alias="for", description="It runs once and this long; when left out, once a round until it ends."
    )
    warmup_ns: DurationNs = Field(
        default=30 * _SECOND, alias="warmup", description="With `for`: how long before it, not judged."
    )
    rounds: Rounds = Field(
        default=8, json_schema_extra={"minimum": MIN_ROUNDS}, description="Measured rounds, at least 7."
    )
    warmup_rounds: WarmupRounds = Field(default=1, description="Rounds before the measured ones.")
    settle_ns: DurationNs = Field(
        default=300_000_000, alias="settle", description="Quiet time before a round's end is measured."
    )
    timeout_ns: DurationNs = Field(default=600 * _SECOND, alias="timeout", description="How long one round may take.")

    @property
    def argv(self) -> tuple[str, ...]:
        return split_command(self.command)


class LocustfileLoad(Senders):
    """Traffic of your own locustfile, which stays as it is."""

    locustfile: PathText = Field(description="Path of the locustfile, relative to the scenario file.")
    users: Annotated[Whole, Field(ge=1, le=100_000)] = Field(default=1, description="Simulated users.")
    spawn_rate: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="Users started per second; all at once when left out."
    )
    duration_ns: DurationNs = Field(alias="for", description="How long, after the warm-up.")
    warmup_ns: DurationNs = Field(default=30 * _SECOND, alias="warmup", description="How long before it, not judged.")

    @model_validator(mode="after")
    def _master_found(self) -> LocustfileLoad:
        section = {key: getattr(self, key) for key in ("workers", "remote_workers", "listen")}
        _raise_first(engine_mistakes({"engine": "locust", **section}))
        return self


class ObserveLoad(Model):
    """No traffic of ours: watch for a while."""

    observe_ns: DurationNs | None = Field(alias="observe", description="How long to watch; null: until Ctrl-C.")


class StageSpec(Model):
    """Traffic at an arrival rate, whatever the target's speed."""

    rate: RateRange = Field(description="Requests per second, or a ramp.")
    duration_ns: DurationNs = Field(alias="for", description="How long.")
    warmup: Flag = Field(default=False, description="Whether this stage is warm-up and not judged.")
    max_in_flight: Annotated[Whole, Field(ge=1, le=100_000)] = Field(
        default=200, description="Requests due while so many are unanswered are dropped and counted."
    )


class StagesLoad(RootModel[tuple[StageSpec, ...]]):
    """Stages of traffic, one after the other."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    root: Annotated[tuple[StageSpec, ...], Field(max_length=1000, json_schema_extra={"minItems": 1})]

    @model_validator(mode="after")
    def _not_empty(self) -> StagesLoad:
        # not min_length: pydantic counts only the valid items and would complain about the list as well as about the item
        if not self.root:
            raise ValueError("a load of stages needs at least one stage: [{rate: 20/s, for: 10m}]")
        return self

    @property
    def stages(self) -> tuple[StageSpec, ...]:
        return self.root


class EngineStagesLoad(EngineLoad):
    """Stages of traffic, sent by an engine of your choice."""

    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=1000)] = Field(
        description="The same as a plain list of stages."
    )


def _load_kind(value: object) -> str:
    for key, (kind, model) in _LOAD_BY_KEY.items():
        if isinstance(value, model) or (isinstance(value, Mapping) and key in value):
            return kind
    if isinstance(value, list | tuple | StagesLoad):
        return "(stages)"
    return "(rounds)"


# Every kind but rounds is told by a key of its own.
_LOAD_BY_KEY: Mapping[str, tuple[str, type[Model]]] = {
    "each_round": ("(each round)", EachRoundLoad),
    "observe": ("(observe)", ObserveLoad),
    "command": ("(command)", CommandLoad),
    "locustfile": ("(locustfile)", LocustfileLoad),
    "stages": ("(engine stages)", EngineStagesLoad),
}

Load = Annotated[
    Annotated[RoundsLoad, Tag("(rounds)")]
    | Annotated[EachRoundLoad, Tag("(each round)")]
    | Annotated[ObserveLoad, Tag("(observe)")]
    | Annotated[CommandLoad, Tag("(command)")]
    | Annotated[LocustfileLoad, Tag("(locustfile)")]
    | Annotated[EngineStagesLoad, Tag("(engine stages)")]
    | Annotated[StagesLoad, Tag("(stages)")],
    Discriminator(_load_kind),
]


# --- profile, sample, guard, expect ---------------------------------------------------------------------------------


ToolName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def _tools(value: object) -> object:
    if isinstance(value, str):
        return {"auto": None, "none": ()}.get(value, (value,))
    return value


def _profile_long_form(value: object) -> object:
    return {"tools": value} if isinstance(value, str | list | tuple) else value


class ProfileSpec(Model):
    """Which profilers run in the profiled pass, and on what."""

    tools: Annotated[
        tuple[ToolName, ...] | None,
        BeforeValidator(_tools),
        AlsoAccepts(type="string", examples=["auto", "none", "xdebug", "tracemalloc"]),
    ] = Field(default=None, max_length=32, description="auto (what fits what grows), none, or a list of profilers.")
    endpoints: tuple[str, ...] | None = Field(
        default=None, description="Names of requests to profile; all when left out."
    )
    functions: tuple[str, ...] = Field(
        default=(), description="Functions to watch line by line (lines, memory_profiler), as package.module:Qual.name."
    )

    @field_validator("functions")
    @classmethod
    def _function_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_functions(names)

    @property
    def automatic(self) -> bool:
        """Whether the adapter chooses the tools (``tools`` is None then)."""
        return self.tools is None


class SampleSpec(Model):
    """How often processes and the kernel are looked at."""

    interval_ns: Annotated[DurationNs, between(_SECOND // 10, 60 * _SECOND, "between 100ms and 60s")] = Field(
        default=_SECOND, alias="interval", description="Time between samples, 100ms to 60s."
    )
    budget: Share = Field(
        default=0.01, description="Share of one CPU that sampling may cost; dear readings are spread out."
    )
    heaps: bool = Field(
        default=True, description="Read the allocators of running processes from outside; nothing is injected."
    )
    fast_ns: Annotated[DurationNs, between(_SECOND // 2000, _SECOND, "between 0.5ms and 1s")] | None = Field(
        default=None,
        alias="fast",
        description="Read the counters of PHP heaps this often between samples, beyond the budget: 1ms takes some % of a CPU.",
    )
    freeze: bool = Field(
        default=False, description="Stop a process for some ms while its heap is walked; exact, but felt."
    )
    own_cgroup: bool = Field(
        default=True, description="Give a launched target a memory cgroup of its own, where permitted."
    )


class GuardSpec(Model):
    """Limits that stop a run early, before it hurts the target or the machine; null switches one off."""

    latency_p99_ns: DurationNs | None = Field(
        default=None, alias="latency_p99", description="Slowest tolerable p99 latency."
    )
    mem_available: ShareOrSize | None = Field(
        default=Amount(share=0.05), description="Least MemAvailable of the machine."
    )
    disk_free_bytes: SizeBytes | None = Field(
        default=200 * 1024 * 1024, alias="disk_free", description="Least free space where the run is written."
    )
    psi_some: Share | None = Field(default=None, description="Highest memory pressure (PSI some, 10 s average).")


def _expectation(value: object) -> Expectation:
    if isinstance(value, Expectation):
        return value
    if not isinstance(value, str):
        raise ValueError("an expectation is text such as 'verdict is healthy'")
    return parse_expectation(value)


ExpectationLine = Annotated[
    Expectation,
    PlainValidator(_expectation),
    PlainSerializer(lambda e: e.expr, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": JSON_PATTERN,
            "examples": [
                "verdict is healthy",
                "retained_bytes_per_request < 256 B",
                "peak_pss < 400 MiB",
                "p99 < 500ms",
                "no leak, threads",
                "diff(peak_own) < 5 %",
            ],
        }
    ),
]


# --- the whole ------------------------------------------------------------------------------------------------------


class Scenario(Model):
    """A harness scenario: what to run, what traffic to send, what to measure and what to expect."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Short name, used in the run directory's name.")
    description: str = Field(default="", max_length=2000, description="What this is about, for people.")
    version: Annotated[str, Field(pattern=VERSION_PATTERN)] | None = Field(
        default=None,
        description="Version of the application under test; harness run --version says it instead.",
        examples=["1.4.2"],
    )
    target: TargetSpec | None = Field(default=None, description="The application under test.")
    requests: tuple[RequestSpec, ...] = Field(default=(), max_length=1000, description="The kinds of requests to send.")
    load: Load = Field(default=RoundsLoad(), description="How much traffic, or work, and in which shape.")
    profile: Annotated[
        ProfileSpec,
        BeforeValidator(_profile_long_form),
        AlsoAccepts(type=["string", "array"], items={"type": "string"}, examples=["auto", "none", ["xdebug"]]),
    ] = Field(default=ProfileSpec(), description="Profilers for the profiled pass: auto, none, a list, or details.")
    sample: SampleSpec = Field(default=SampleSpec(), description="How often to look.")
    guard: GuardSpec = Field(default=GuardSpec(), description="When to stop early.")
    expect: tuple[ExpectationLine, ...] = Field(
        default=(), max_length=200, description="What must hold for exit code 0."
    )
    prescriptions: tuple[PathText, ...] = Field(
        default=(),
        max_length=32,
        description="Directories with rules of your own about what to do, relative to the scenario file.",
    )

    _source: Source | None = PrivateAttr(None)

    @property
    def source(self) -> Source | None:
        """The file this was read from; None for a scenario made in memory."""
        return self._source

    @property
    def scenario_dir(self) -> Path:
        """What relative paths in the file are relative to: its directory, absolute."""
        return Path.cwd() if self._source is None else self._source.path.resolve().parent

    @property
    def runtime(self) -> str:
        """The target's runtime; ``any`` without a target."""
        return "any" if self.target is None else self.target.runtime

    def resolve_path(self, text: str) -> Path:
        """A path from the file as an absolute path."""
        return self.scenario_dir / Path(text).expanduser()

    def to_data(self) -> dict[str, Any]:
        """JSON-compatible data with all defaults filled in, ``${NAME}`` left as it is; reads back as the same scenario."""
        return self.model_dump(mode="json", by_alias=True)
