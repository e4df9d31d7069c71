"""The scenario file as typed, frozen models: field by field what the file says, in base units.

The models mirror the file, and their descriptions become the published JSON Schema. Strings keep ``${NAME}`` unresolved
(see `harness.scenario.variables`), so a stored scenario holds no secret. Read files with
`harness.scenario.reader.read_scenario`, which adds positions, did-you-mean and the checks across sections.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
)

from harness.scenario.base import VERSION_PATTERN, Model, PathText
from harness.scenario.expect import JSON_PATTERN, Expectation, parse_expectation
from harness.scenario.fields import (
    AlsoAccepts,
    Amount,
    DurationNs,
    Share,
    ShareOrSize,
    SizeBytes,
    between,
)
from harness.scenario.load import Load, RoundsLoad
from harness.scenario.requests import RequestSpec
from harness.scenario.runtimes import checked_functions
from harness.scenario.target import TargetSpec

if TYPE_CHECKING:
    from harness.scenario.source import Source


_SECOND = 1_000_000_000


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
