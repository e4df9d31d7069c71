"""The section ``target`` of a scenario: programs, processes, containers and hosts under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from harness.scenario.addresses import HOST_PATTERN, LOCAL, POD, called
from harness.scenario.base import (
    VERSION_PATTERN,
    Environment,
    Model,
    PathText,
    host_in_full,
    hosts_in_full,
    raise_first,
)
from harness.scenario.fields import (
    AlsoAccepts,
    Command,
    DurationNs,
    Flag,
    HttpUrl,
    ReadyUrl,
    Whole,
    split_command,
)
from harness.scenario.runtimes import PhpOptions, PythonOptions
from harness.scenario.shape import (
    ATTACH,
    attach_mistakes,
    target_mistakes,
    ways_in,
)

CONTAINER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
ROLE_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
DIRECTORY_PATTERN = r"^/[^\x00-\x1f]{1,400}$"

_SECOND = 1_000_000_000

Port = Annotated[Whole, Field(ge=1, le=65535)]


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
        raise_first(attach_mistakes({key: getattr(self, key) for key in ATTACH}))
        return self


class ContainerSpec(Model):
    """A container of docker or podman that runs on this machine. See docs/containers.md."""

    name: str = Field(pattern=CONTAINER_PATTERN, description="Its name or id, as docker ps shows it.")
    role: Annotated[str, Field(pattern=ROLE_PATTERN)] | None = Field(
        default=None, description="What it is for, such as web, worker or db; its pool is called so."
    )
    measured: Flag = Field(
        default=True,
        description="Whether it belongs to the application (a database does not): else it is only watched.",
    )
    agent: PathText | None = Field(
        default=None,
        description="Directory of the machine it runs on that is mounted into it and holds the agent (harness agent).",
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
    name: Annotated[str, Field(pattern=LABEL_PATTERN)] | None = Field(
        default=None, description="Name in reports; the host of its address when left out."
    )
    role: Annotated[str, Field(pattern=ROLE_PATTERN)] = Field(
        default="app", description="What it is for, such as web, worker or db; hosts of one role are compared."
    )
    measured: Flag = Field(
        default=True,
        description="Whether it belongs to the application (a database does not): else it is only watched.",
    )
    version: Annotated[str, Field(pattern=VERSION_PATTERN)] | None = Field(
        default=None, description="Version of the application on it, where hosts of one role have different ones."
    )
    attach: AttachSpec | None = Field(
        default=None, description="What to watch there, when it is not what target.attach says."
    )
    agent: Annotated[str, Field(pattern=DIRECTORY_PATTERN)] | None = Field(
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

    @property
    def agents(self) -> tuple[tuple[str, ContainerSpec | None], ...]:
        """Directories there that hold an agent, and the container that each is mounted into; None: it is in none."""
        if not self.in_containers:
            return () if self.agent is None else ((self.agent, None),)
        found = ((self.agent if each.agent is None else str(each.agent), each) for each in self.in_containers)
        return tuple((directory, each) for directory, each in found if directory is not None)

    def watched(self, attach: AttachSpec | None) -> AttachSpec | None:
        """What is watched there, where ``attach`` is what the target says: in a pod else all that its container runs."""
        return self.attach or attach or (AttachSpec(pid=1) if POD.fullmatch(self.host) else None)


Host = Annotated[HostSpec, BeforeValidator(host_in_full), AlsoAccepts(type="string", minLength=1)]


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
    hosts: Annotated[tuple[Host, ...], BeforeValidator(hosts_in_full)] = Field(
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
        raise_first(target_mistakes(self._section()))
        names = [p.name for p in self.launch if p.name is not None]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise_first(iter([f"two programs are called {twice[0]!r}"]))
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
        return bool(self.elsewhere) and (bool(self.launch) or any(host.agents for host in self.elsewhere))

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
        """Where relative request paths go: ``url``, else the origin of ``ready``, the served address or the port, of this machine
        only: who answers to a port of several hosts, and by which address, is not said by it."""
        if self.url is not None:
            return self.url.rstrip("/")
        if self.ready is not None:
            parts = urlsplit(self.ready)
            return f"{'http' if parts.scheme == 'tcp' else parts.scheme}://{parts.netloc}"
        if self.php is not None and self.php.serve is not None:
            return f"http://{self.php.serve.listen}"
        if self.attach is not None and self.attach.port is not None and not self.elsewhere:
            return f"http://127.0.0.1:{self.attach.port}"
        return None

    @property
    def adapter_options(self) -> dict[str, Any]:
        """The ``target.<runtime>`` section for `AdapterContext.options`, keys as in the file, defaults filled in."""
        sections: Mapping[str, Model] = {"python": self.python or PythonOptions(), "php": self.php or PhpOptions()}
        options = sections.get(self.runtime)
        return {} if options is None else options.model_dump(mode="json", by_alias=True)
