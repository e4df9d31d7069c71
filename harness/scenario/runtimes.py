"""Options of the language adapters, ``target.python`` and ``target.php``, as typed, frozen models; see `schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from harness.scenario.base import Model, PathText
from harness.scenario.fields import Flag, SingleLine, Text, Whole

_LOCALS = ".<locals>."  # as in Python's own __qualname__


def checked_functions(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are; ValueError for what is no name of a function."""
    for name in names:
        module, colon, qualified = name.partition(":")
        parts = [part for outer in qualified.split(_LOCALS) for part in outer.split(".")]
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *parts)):
            raise ValueError(
                f"{name!r} is not a function: write package.module:function, package.module:Class.method or, for one inside a "
                "function, package.module:create_app.<locals>.view"
            )
    return names


class TracemallocOptions(Model):
    """Options of the tool tracemalloc."""

    frames: Annotated[Whole, Field(ge=1, le=25)] = Field(
        default=1, description="Frames kept of each allocation; 10 make a request eight times slower."
    )
    from_boot: Flag = Field(
        default=False, description="Trace from the start of every process: several times slower, and more memory."
    )


class MemrayOptions(Model):
    """Options of the tool memray."""

    native: Flag = Field(default=False, description="Also record the native frames of each allocation.")


class PythonOptions(Model):
    """Options of the Python adapter."""

    functions: tuple[str, ...] = Field(
        default=(),
        description="Functions that memory_profiler and lines watch line by line, as package.module:Qual.name; one inside a "
        "function as package.module:create_app.<locals>.view.",
    )
    jobs: tuple[str, ...] = Field(
        default=(), description="Functions whose calls are jobs to record, as package.module:Qual.name."
    )
    tracemalloc: TracemallocOptions = Field(default=TracemallocOptions(), description="How tracemalloc is used.")
    memray: MemrayOptions = Field(default=MemrayOptions(), description="How memray is used.")
    floors: Literal["look", "collect", "none"] = Field(
        default="look",
        description="What the agent does at round ends: look at the allocators, collect garbage before that, or nothing.",
    )
    inject: Flag = Field(
        default=False,
        description="With attach: put the agent into the running process. Invasive: the process is stopped for up to a second.",
    )
    overlay: Flag = Field(
        default=False,
        description="For programs started with -E or -I: run them from a virtual environment of ours that carries the agent.",
    )
    gc_freeze: Flag = Field(
        default=False, description="An experiment: collect garbage and freeze the heap before every fork."
    )

    @field_validator("functions")
    @classmethod
    def _function_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_functions(names)

    @field_validator("jobs")
    @classmethod
    def _job_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        inside = next((name for name in names if _LOCALS in name), None)
        if inside is not None:
            raise ValueError(
                f"{inside!r} is defined inside a function: only functions of a module or a class can be jobs"
            )
        return checked_functions(names)


class PhpServe(Model):
    """php-fpm behind nginx, started by the harness for a document root."""

    docroot: PathText = Field(description="Directory the scripts are served from.")
    listen: str = Field(
        default="127.0.0.1:8080", pattern=r"^[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}$", description="HOST:PORT."
    )
    workers: Annotated[Whole, Field(ge=1, le=256)] = Field(default=4, description="Number of workers.")
    front_controller: PathText | None = Field(
        default="index.php", description="Script that answers paths which are not files; null for none."
    )
    ini: Mapping[str, SingleLine] = Field(default={}, description="php.ini settings for this server.")
    web: Literal["nginx", "apache", "mod_php"] = Field(
        default="nginx",
        description="nginx or Apache in front of php-fpm, or PHP inside Apache's own processes.",
    )

    @field_validator("listen")
    @classmethod
    def _port_exists(cls, listen: str) -> str:
        if not 0 < int(listen.rpartition(":")[2]) < 65536:
            raise ValueError(f"{listen!r} is not HOST:PORT: ports go from 1 to 65535")
        return listen


class PhpXdebug(Model):
    """An existing deployment that has php-fpm masters with Xdebug beside it, reached with secret cookies."""

    secret: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="xdebug.trigger_value of the profiling master; name it by ${ENV}. Those for traces and collector statistics "
        "have -trace and -gcstats behind it."
    )
    output_dir: PathText = Field(description="xdebug.output_dir of these masters.")
    access_log: PathText | None = Field(
        default=None,
        description="Their access log: finds the profile where the application removes the header that names it.",
    )
    process: Text | None = Field(
        default=None,
        description="Look for both as this process sees them (PrivateTmp, a container): text of its command line.",
    )
    container: Text | None = Field(
        default=None, description="Look for both in this container of podman or docker: of this machine, or of host."
    )
    host: Text | None = Field(default=None, description="Look for both on this host, as ssh://[user@]host[:port].")

    @model_validator(mode="after")
    def _one_place(self) -> PhpXdebug:
        others = [name for name in ("container", "host") if getattr(self, name) is not None]
        if self.process is not None and others:
            raise ValueError(f"process and {others[0]} are different places: give one of them")
        return self


class PhpFpm(Model):
    """What a php-fpm that runs already tells without any code in it."""

    status: Text | None = Field(
        default=None,
        description="Its pm.status_path: an http:// address, or tcp://HOST:PORT/PATH or unix:///SOCKET?PATH of the pool itself.",
    )
    access_log: PathText | None = Field(default=None, description="access.log of the pool.")
    access_format: SingleLine | None = Field(
        default=None, description="access.format of the pool, where it is not the default."
    )


class PhpBlackfire(Model):
    """Blackfire's own agent, where the application has Blackfire's probe."""

    agent: Text = Field(
        default="unix:///var/run/blackfire/agent.sock",
        description="Where that agent listens: unix:///PATH or tcp://HOST:PORT.",
    )
    listen: Text = Field(
        default="tcp://127.0.0.1:8308",
        description="Where our recording relay listens: blackfire.agent_socket of the probe.",
    )


class PhpOptions(Model):
    """Options of the PHP adapter."""

    serve: PhpServe | None = Field(default=None, description="Start a PHP server; instead of launch or attach.")
    xdebug: PhpXdebug | None = Field(
        default=None, description="How to trigger Xdebug in a deployment that already runs."
    )
    fpm: PhpFpm | None = Field(default=None, description="What a php-fpm that runs already tells without code in it.")
    blackfire: PhpBlackfire | None = Field(
        default=None, description="Blackfire's probe and agent, with an account of yours."
    )
    floors: Literal["look", "collect", "none"] = Field(
        default="look",
        description="What is asked at round ends: how caches and heaps stand, also after a collection in workers, or nothing.",
    )
    ini: Mapping[str, SingleLine] = Field(default={}, description="php.ini settings for everything that is launched.")
