"""The contract between the harness and a language adapter.

An adapter is a module-level ``ADAPTER`` named by the entry point group ``harness.adapters``. It never sees the session, the
store or the load generator; it turns launch plans into better launch plans, says how to trigger a tool for one request,
and fetches what that request left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from harness.errors import TargetError
from harness.model.finding import Cause
from harness.model.profile import Artifact, Profile
from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord, ToolRecord

ParsedRecord = RequestRecord | BootRecord | ToolRecord | FloorRecord | CostRecord


class Stage(StrEnum):
    """When a plan's process lives. PROFILE processes start only for the profiled pass, so they cannot disturb the rounds."""

    MAIN = "main"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """A program to start. ``env`` is added to the session's environment; ``None`` as a value removes the variable.

    ``measured``: belongs to the application under test (a proxy or a profiling companion does not).
    ``ready``: URL that must answer below 500, or ``tcp://host:port``; None = the scenario's ``ready`` decides.
    ``tool``: only this tool needs it; None = whatever is profiled.
    """

    name: str  # becomes the pool's name
    argv: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)
    cwd: Path | None = None
    measured: bool = True
    stage: Stage = Stage.MAIN
    ready: str | None = None
    tool: str | None = None


def _same_id(pid: int) -> int | None:
    return pid


@dataclass(frozen=True, slots=True)
class Away:
    """Agents on another host, whose files are mirrored in ``work_dir``. ``host``: its name in processes.

    ``ahead_ns``: how far its CLOCK_MONOTONIC is ahead of ours; times in the files are by its clock. ``post``: have an order (see
    `harness.plugins.orders`: number, verb, rest, process ids there) written and told there; the ids of those that were told. It
    waits, so it is called beside the recording; TargetError when nobody answers. ``expect``: a result of exactly this name may be
    fetched, once a record names it. ``called``: the id by which the agent calls a process, where that is in a container there;
    None when that is not known.
    """

    host: str
    ahead_ns: int
    post: Callable[[int, str, str, Sequence[int]], Sequence[int]]
    expect: Callable[[str], None]
    called: Callable[[int], int | None] = _same_id


class Shell(Protocol):
    """A POSIX shell on another host, or in a container there. Nothing is done before it is asked for something."""

    def command(self) -> Sequence[str]:
        """The command line, here, that starts it with its standard streams connected to ours, over a connection that nothing else
        can hold up; what it is to run is written to its standard input. In a container, which is looked for each time, it is that
        of the container's root. Takes seconds. Raises TargetError."""
        ...

    def pid_outside(self, pid: int) -> int | None:
        """What the host calls the process that has this id where the shell is; None: that is not known."""
        ...

    def close(self) -> None:
        """Let go of connections but those that `command` made. Calling again does nothing."""
        ...


def _no_shell(_address: str, _container: str | None) -> Shell:
    raise TargetError("other hosts are not reached from here")


@dataclass(frozen=True, slots=True)
class AdapterContext:
    """What an adapter may use.

    ``work_dir`` is private to this run (mode 0711, files readable by the workers' uid; the adapter makes and chowns what
    a worker must write). ``token`` is this run's random secret (32 hex digits). ``options`` is the scenario's
    ``target.<runtime>`` mapping, already validated; ``tools`` the profilers asked for; ``functions`` what memory_profiler
    is to watch, as ``package.module:Qual.name``. ``automatic``: nobody asked for the tools by name, which of them will be used
    is decided after the rounds; so only what is at hand is prepared, and nobody is warned that something is not.
    ``outside_pid``: where the agents are in a container, whose processes have other ids inside: from such an id and a time
    (CLOCK_MONOTONIC, ns; None = now) to ours, None when that is not known. None where all ids are ours.
    ``away``: where the agents are on another host: then ids and times of the processes are that host's, nothing of it is in this
    machine's /proc, and ``work_dir`` holds what has come from there. None: they are here.
    ``hosts``: other hosts whose processes are sampled in this run, by their addresses (ssh://...), and how reports call them.
    ``shell``: the way to any other host, by its address, or to a container there, by its name or id. Raises UsageError for what
    is none.
    """

    work_dir: Path
    token: str
    options: Mapping[str, object]
    tools: tuple[str, ...]
    functions: tuple[str, ...] = ()
    base_url: str | None = None
    scenario_dir: Path = Path()
    automatic: bool = False
    outside_pid: Callable[[int, int | None], int | None] | None = None
    away: Away | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    shell: Callable[[str, str | None], Shell] = _no_shell


class CheckLevel(StrEnum):
    """ERROR stops the run (exit 3); WARNING and INFO are recorded and shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Check:
    """One result of preflight: what was looked at, what was found, what to do."""

    name: str
    level: CheckLevel
    message: str
    fix: str | None = None
    costs: str = ""  # what the verdict loses; non-empty checks become "missing" entries of the report

    @property
    def advice(self) -> str:
        """The message with the fix, where that is one line."""
        return f"{self.message}: {self.fix}" if self.fix and "\n" not in self.fix else self.message


@dataclass(frozen=True, slots=True)
class Prepared:
    """The adapter's answer to a set of plans: the plans to really start, in order, and the URL traffic should use.

    ``experiments``: what the launch changes about the application because the scenario asked for it, name -> a sentence.
    """

    plans: tuple[LaunchPlan, ...]
    base_url: str | None = None
    experiments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Where per-request records appear: files matching ``pattern`` (a glob inside work_dir) that only ever grow, one
    record a line. ``parse`` is pure, gets one line without its newline, returns None for lines to ignore, never raises.

    ``follow``: instead, a log of the target's own, read from its end at the start of the run and across rotations."""

    pattern: str
    parse: Callable[[bytes], ParsedRecord | None]
    follow: Path | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """How to ask for one tool on one request: extra headers and cookies, and optionally another base URL. For the next request
    there must be another one: it may be good for one time only.

    ``warmups``: how many throw-away requests, each with a trigger of its own, come first (imports, opcache).
    ``argv``/``env``: for script workloads, how to run the script under the tool instead.
    ``deployed``: what the request leaves behind lies in one known place, whoever answers it.
    """

    tool: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    warmups: int = 0
    argv: tuple[str, ...] | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    deployed: bool = False


class Shows(StrEnum):
    """What a tool's profile can be asked for afterwards: lines and the bytes each kept (`Profile.origins`); what holds objects;
    which functions were called; what the collector was left with."""

    KEPT = "kept"
    HOLDERS = "holders"
    CALLS = "calls"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool as ``profile: auto`` uses it.

    ``settings``: for one request alone, in the adapter's own words. ``places``: (file, line) of source whose functions it is to
    watch. ``follows``: it needs such places, so it comes after the tools that find them. ``again``: cheap enough to be asked for
    again and again, until a request is met that keeps something.
    """

    tool: str
    shows: Shows
    settings: Mapping[str, str] = field(default_factory=dict)
    places: tuple[tuple[str, int], ...] = ()
    follows: bool = False
    again: bool = True


class FloorDepth(StrEnum):
    """What an agent does when it is asked for the floor: look only; collect garbage first; also give free memory back."""

    LOOK = "look"
    COLLECT = "collect"
    TRIM = "trim"


@dataclass(frozen=True, slots=True)
class ProfiledResponse:
    """What came back from a triggered request; header names are lower case, values capped, all of it hostile text.

    ``warmup_spans``: of the throw-away requests before it; what they left behind can be removed.
    """

    span_id: str
    endpoint: str
    status: int | None
    start_ns: int
    end_ns: int
    headers: Mapping[str, str]
    warmup_spans: tuple[str, ...] = ()


class There(Protocol):
    """Another host on which a program is about to be started."""

    @property
    def name(self) -> str:
        """As it is called in reports."""
        ...

    def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        """Run a command there for a moment, in the environment that programs get: its exit code, and what it said. Raises
        TargetError."""
        ...


class EntryState(StrEnum):
    """ENTERED: the agent is there. PENDING: the process will load it when it runs its language's code again. REFUSED: it will
    not be there."""

    ENTERED = "entered"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """How putting the agent into one running process went. ``stopped_ns``: how long it was stopped, at most; None: it was not."""

    pid: int
    state: EntryState
    message: str
    stopped_ns: int | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """An existing deployment that is to get a profiling companion of its own.

    ``pid``: one of its processes; ``upstream``: what the web server passes to now, ``unix:/path`` or ``host:port``;
    ``directory``: where the files will be put; ``secret``: what a request must carry to reach the companion.
    """

    pid: int
    upstream: str
    directory: Path
    secret: str


class LanguageAdapter(Protocol):
    """One language. All methods may raise `harness.errors.HarnessError` and nothing else on foreseeable trouble."""

    name: str
    tools: tuple[str, ...]  # profilers it offers
    default_tools: tuple[str, ...]  # for a healthy run, and where nothing can be decided
    auto_tools: tuple[str, ...]  # all that ``profile: auto`` may use: what to prepare at the launch
    announces: bool  # whether a process that its agent is in says so before its first request

    def tools_for(self, context: AdapterContext, cause: Cause) -> Sequence[ToolUse]:
        """What finds the place of such a growth, in order of use; () where no tool can. Of tools that have to be fetched only
        those that are at hand. Pure but for a look at what is there."""
        ...

    def why_no_line(self, context: AdapterContext, cause: Cause) -> str:
        """Why `tools_for` has nothing that names the line of such a growth, in words for people; empty where it has."""
        ...

    def recognises(self, comm: str, cmdline: str, exe: str) -> bool:
        """Whether a running process looks like this runtime (for ``harness init``)."""
        ...

    def preflight(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Sequence[Check]:
        """Look, change nothing: is everything there that the asked-for tools need?"""
        ...

    def inspect(self, pids: Sequence[int]) -> Sequence[Check]:
        """Mistakes in how this runtime is set up for profiling: of these running processes, or, where there are none, of what is
        installed here. ``fix`` holds the lines to write. Looks, changes nothing; () where there is nothing to say."""
        ...

    def prepare(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Prepared:
        """Write what the launch needs into ``context.work_dir`` and return the plans to start."""
        ...

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]: ...

    def explain_silence(self, context: AdapterContext, plans: Sequence[LaunchPlan], output_tail: str) -> str:
        """Requests were answered but no agent announced itself: the likely reason, for people."""
        ...

    def enter(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[Entry]:
        """Put the agent into running processes, where the scenario asks for that; one entry for each, or () where this language
        has no such way. Waits, bounded, until the agents have announced themselves."""
        ...

    def release(self, context: AdapterContext, number: int, pids: Sequence[int]) -> Sequence[int]:
        """Have agents that entered leave again; the pids of those that have not. ``number`` as for `ask_floor`."""
        ...

    def facts(self, pids: Sequence[int]) -> Mapping[str, str]:
        """How these processes of one pool run, as far as it bears on their memory: name -> a few words."""
        ...

    def speaks_for(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[int]:
        """Those of these processes that `ask_floor` can tell of although no agent is in them: their server is asked."""
        ...

    def ask_floor(self, context: AdapterContext, number: int, depth: FloorDepth, pids: Sequence[int]) -> Sequence[int]:
        """Ask the agents in these processes for the state of their allocators; the pids that were told, each of which answers
        with one `FloorRecord` of this number within 3 s or not at all (a process that runs no Python code meanwhile). Numbers
        rise over a run, across `arm` too; the same number again reminds who has not answered. Where no agent is, nobody does.
        May take a second: it is called beside the recording."""
        ...

    def explain_unasked(self, context: AdapterContext, pid: int) -> str:
        """A process that an agent is in was not among those told by `ask_floor`: the likely reason, for people."""
        ...

    def arm(self, context: AdapterContext, number: int, tool: str | None, pids: Sequence[int]) -> Sequence[int]:
        """Have the next jobs of these workers run under ``tool``, each kind of job twice in each process, the first time to warm
        up; None: no longer. The pids that were told. Raises UsageError for a tool that cannot measure jobs."""
        ...

    def trigger(
        self,
        context: AdapterContext,
        tool: str,
        script: Sequence[str] | None = None,
        *,
        ends: bool = True,
        use: ToolUse | None = None,
    ) -> Trigger:
        """How to get ``tool`` for the next request, asked for before each. ``use``: how, where that was decided in this run;
        for requests only. ``script`` is the command of a script workload, or of
        a long-lived worker where nobody takes orders (see `arm`): the answer's ``argv`` runs it under the tool, and what was
        measured is ended before. Not ``ends``: a worker, which gets SIGTERM (twice if need be) and must have written everything
        then. TargetError when this run cannot have it."""
        ...

    def out_of_reach(self, context: AdapterContext, tool: str) -> Check | None:
        """Why no request of this run can be profiled with ``tool``, whatever answers it, and what to do; None where that is not
        known before one was tried. Asked when all that a run starts was prepared, so that none is sent in vain."""
        ...

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        """Wait (bounded) until the tool's files are complete, copy them below ``destination`` (inside the run directory)
        under names of our own, and describe them; paths in the answer are relative to ``destination``. An artifact whose
        attribute ``runs_before`` is 0 says that its process was not warmed up: the request is sent again some times."""
        ...

    def deployment(self, site: Site) -> Mapping[str, str]:
        """Files (name below ``site.directory`` -> text) that prepare an existing deployment; empty when none are needed."""
        ...

    def deploy_agent(self, directory: Path, inside: str, token: str) -> Mapping[str, str]:
        """Write an agent into an empty directory that will be mounted into a container, or laid down on another host, as
        ``inside``; the variables that switch it on there. It writes records to the one file that ``HARNESS_RECORDS`` names, in
        ``records``, results into ``results``, and takes orders from the file that ``HARNESS_ORDERS`` names. Raises UsageError
        where this language has no agent of that kind."""
        ...

    def launch_there(
        self, context: AdapterContext, plans: Sequence[LaunchPlan], variables: Mapping[str, str], there: There
    ) -> tuple[Prepared, Sequence[Check]]:
        """`prepare` for programs that are started on another host, with the agent that `deploy_agent` has made for there and
        whose ``variables`` these are; and what of it will not work."""
        ...

    def parse(self, tool: str, path: Path) -> Profile:
        """Read a collected file; ValueError with a reason when it is not what it should be."""
        ...
