"""Where the output directory of a deployed Xdebug is, as the scenario says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError

_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_HOST = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})@)?"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?/?\Z"
)
_SHORTEST_TEXT = 3  # two letters match half of what runs


class UnreachableError(Exception):
    """The place cannot be had; the text says why, ``fix`` what to do."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class ProcessPlace:
    """As processes with this text in their command line see it."""

    text: str

    def __str__(self) -> str:
        return f"the file system of {self.text!r}"


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """In a container of podman or docker, by name or id."""

    name: str

    def __str__(self) -> str:
        return f"the container {self.name}"


@dataclass(frozen=True, slots=True)
class HostPlace:
    """On a host that ssh reaches. ``host`` may be an alias of ``~/.ssh/config``; None: what that says, or ssh's default.
    ``container``: in this one of podman or docker there, by name or id; None: in the host's own file system."""

    host: str
    user: str | None = None
    port: int | None = None
    container: str | None = None

    @property
    def address(self) -> str:
        """As `harness.plugins.spec.AdapterContext.shell` takes it."""
        user = "" if self.user is None else f"{self.user}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}{'' if self.port is None else f':{self.port}'}"

    def __str__(self) -> str:
        return f"the host {self.host}" if self.container is None else f"the container {self.container} on {self.host}"


Place = ProcessPlace | ContainerPlace | HostPlace


def parse_place(*, process: str | None, container: str | None, host: str | None) -> Place | None:
    """The place, None for our own file system; a container and a host together are a container of that host. These texts become
    words of command lines, so they are matched strictly. Raises UsageError."""
    if process is not None and (container is not None or host is not None):
        raise UsageError(
            "target.php.xdebug: process is a place of this machine, and neither in a container nor on a host",
            hint="leave process out, or container and host",
        )
    if process is not None:
        if len(process.strip()) < _SHORTEST_TEXT:
            raise UsageError(
                f"target.php.xdebug.process: {process!r} is too short",
                hint=f"give at least {_SHORTEST_TEXT} letters of the command line, as `ps -ef` shows it",
            )
        return ProcessPlace(process)
    if container is not None and not _CONTAINER.match(container):
        raise UsageError(
            f"target.php.xdebug.container: {container!r} is no name of a container",
            hint="write its name or id as `podman ps` or `docker ps` shows it",
        )
    if host is not None:
        return _host(host, container)
    return None if container is None else ContainerPlace(container)


def sampled_host(place: Place | None, hosts: Mapping[str, str]) -> str | None:
    """What reports call the host of this place, empty for this machine; None where it is none of ``hosts`` (by address), which
    are sampled. Users may differ."""
    if not isinstance(place, HostPlace):
        return ""
    for address, label in hosts.items():
        match = _HOST.match(address)
        if match is not None and (match["host"].strip("[]"), int(match["port"] or 22)) == (
            place.host,
            place.port or 22,
        ):
            return label
    return None


def _host(text: str, container: str | None) -> HostPlace:
    match = _HOST.match(text)
    if match is None or not 0 < int(match["port"] or 22) < 65536:
        raise UsageError(
            f"target.php.xdebug.host: {text!r} is no address for ssh",
            hint="write ssh://[user@]host[:port], nothing else",
        )
    port = None if match["port"] is None else int(match["port"])
    return HostPlace(match["host"].strip("[]"), match["user"], port, container)
