"""The scenario's ``target.php`` section as this adapter reads it. The shape was validated by the scenario's models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.blackfire.address import checked_address
from adapters.php.xdebug.elsewhere.place import Place, parse_place
from harness.errors import UsageError
from harness.plugins.spec import AdapterContext

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+\Z")  # RFC 6265, 4.1.1


@dataclass(frozen=True, slots=True)
class Serve:
    """php-fpm behind a web server, or PHP inside one, started by the harness; paths are absolute."""

    docroot: Path
    listen: str
    workers: int
    front_controller: str | None
    ini: Mapping[str, str]
    web: str = "nginx"  # or apache, mod_php

    @property
    def address(self) -> tuple[str, int]:
        """Host (without brackets) and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Deployment:
    """An Xdebug that is already deployed; paths are absolute. ``access_log``: of its php-fpm masters. ``place``: where both are,
    None: in our file system."""

    secret: str
    output_dir: Path
    access_log: Path | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Fpm:
    """What a php-fpm tells that runs already; ``access_log`` is absolute, ``status`` as written."""

    status: str | None = None
    access_log: Path | None = None
    access_format: str | None = None


@dataclass(frozen=True, slots=True)
class Blackfire:
    """Where Blackfire's own agent listens, and where our relay does, as unix:///PATH or tcp://HOST:PORT."""

    agent: str
    listen: str


@dataclass(frozen=True, slots=True)
class PhpOptions:
    serve: Serve | None = None
    xdebug: Deployment | None = None
    fpm: Fpm = Fpm()
    blackfire: Blackfire | None = None
    asks: bool = True  # long-lived scripts take orders
    ini: Mapping[str, str] = field(default_factory=dict)


def read_options(context: AdapterContext) -> PhpOptions:
    """The options with defaults filled in and paths made absolute. Raises UsageError."""
    ini = _settings(context.options.get("ini"))
    serve, xdebug = _section(context.options, "serve"), _section(context.options, "xdebug")
    return PhpOptions(
        serve=None if serve is None else _serve(serve, context.scenario_dir, ini),
        xdebug=None if xdebug is None else _deployment(xdebug, context.scenario_dir),
        fpm=_fpm(_section(context.options, "fpm") or {}, context.scenario_dir),
        blackfire=_blackfire(_section(context.options, "blackfire")),
        asks=context.options.get("floors") != "none",
        ini=ini,
    )


def _blackfire(data: Mapping[str, object] | None) -> Blackfire | None:
    if data is None:
        return None
    agent = str(data.get("agent", "unix:///var/run/blackfire/agent.sock"))
    listen = str(data.get("listen", "tcp://127.0.0.1:8308"))
    for name, url in (("agent", agent), ("listen", listen)):
        try:
            checked_address(url)
        except ValueError as error:
            raise UsageError(f"target.php.blackfire.{name}: {error}") from None
    if agent == listen:
        raise UsageError("target.php.blackfire: agent and listen are the same, and the relay is between them")
    return Blackfire(agent, listen)


def _fpm(data: Mapping[str, object], base: Path) -> Fpm:
    text = {
        name: None if data.get(name) is None else str(data[name]) for name in ("status", "access_log", "access_format")
    }
    log = text["access_log"]
    return Fpm(text["status"], None if log is None else (base / log).absolute(), text["access_format"])


def _serve(data: Mapping[str, object], base: Path, ini: Mapping[str, str]) -> Serve:
    listen = str(data.get("listen", "127.0.0.1:8080"))
    if not listen.rpartition(":")[2].isdigit():
        raise UsageError(f"target.php.serve.listen: {listen!r} is not HOST:PORT")
    front = data.get("front_controller", "index.php")
    return Serve(
        docroot=(base / str(data["docroot"])).resolve(),
        listen=listen,
        workers=int(str(data.get("workers", 4))),
        front_controller=None if front is None else str(front),
        ini={**ini, **_settings(data.get("ini"))},
        web=str(data.get("web", "nginx")),
    )


def _deployment(data: Mapping[str, object], base: Path) -> Deployment:
    if not _COOKIE_VALUE.match(str(data["secret"])):
        raise UsageError(
            "target.php.xdebug.secret holds characters that no cookie can carry",
            hint="openssl rand -hex 16 makes one; it is the xdebug.trigger_value of the deployment",
        )
    place = parse_place(
        **{name: None if data.get(name) is None else str(data[name]) for name in ("process", "container", "host")}
    )
    log = data.get("access_log")
    if place is not None:
        return _elsewhere(str(data["secret"]), str(data["output_dir"]), None if log is None else str(log), place)
    output_dir = (base / str(data["output_dir"])).resolve()
    return Deployment(str(data["secret"]), output_dir, None if log is None else (base / str(log)).absolute())


def _elsewhere(secret: str, output_dir: str, log: str | None, place: Place) -> Deployment:
    """Paths are as they are there, so nothing of our file system is looked at."""
    for name, path in (("output_dir", output_dir), ("access_log", log)):
        if path is not None and not path.startswith("/"):
            raise UsageError(
                f"target.php.xdebug.{name}: {path!r} is not absolute", hint=f"write the path as it is in {place}"
            )
    return Deployment(secret, Path(output_dir), None if log is None else Path(log), place)


def _section(options: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise UsageError(f"target.php.{name} must be a section")
    return value


def _settings(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError("target.php: ini must be a mapping of php.ini settings")
    return {str(name): str(setting) for name, setting in value.items()}
