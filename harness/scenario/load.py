"""The section ``load`` of a scenario: how much traffic or work, in which shape, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    model_validator,
)

from harness.scenario.addresses import SSH_PATTERN
from harness.scenario.base import (
    Model,
    PathText,
    hosts_in_full,
    raise_first,
)
from harness.scenario.fields import (
    AlsoAccepts,
    Command,
    DurationNs,
    Flag,
    RateRange,
    Whole,
    split_command,
)
from harness.scenario.shape import (
    ENGINE_KEYS,
    engine_mistakes,
)

MIN_ROUNDS = 7
PROGRAM_PATTERN = r"^[A-Za-z0-9_./+-]{1,400}$"
LISTEN_PATTERN = r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"
_SECOND = 1_000_000_000


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
        default=None,
        description="HOST:PORT where workers from other machines find the master; those of hosts need none, they use SSH.",
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
        tuple[Annotated[SenderHost, AlsoAccepts(type="string", minLength=1)], ...] | None,
        BeforeValidator(hosts_in_full),
    ] = Field(default=None, max_length=64, description="Other hosts on which Locust workers are started over SSH.")

    @model_validator(mode="after")
    def _engine_fits(self) -> EngineLoad:
        raise_first(engine_mistakes({key: getattr(self, key) for key in ("engine", *ENGINE_KEYS)}))
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
        raise_first(engine_mistakes({"engine": "locust", **section}))
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
