"""An adapter's options as they hold for this target: where its files are, and what of them is out of reach. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.scenario.schema import TargetSpec
from harness.session.containers import options_in

_SSH = "ssh://"
_PLACES = ("process", "container", "host")
_LOG_COSTS = "no request is known from the access log"


@dataclass(frozen=True, slots=True)
class Options:
    """``hosts``: addresses of the other hosts that are watched, and how reports call them. ``unreachable``: what was asked for
    and cannot be had, as (signal, reason, costs)."""

    of_adapter: Mapping[str, Any]
    hosts: Mapping[str, str] = field(default_factory=dict)
    unreachable: tuple[tuple[str, str, str], ...] = ()


def options_for(options: Mapping[str, Any], target: TargetSpec | None) -> Options:
    """Xdebug's files are in the one container, or on the one host, of a target that has one only, unless the scenario says
    otherwise. A log is followed on this machine only."""
    if target is None:
        return Options(options)
    options = options_in(options, target.in_containers)
    hosts = {host.host: host.label for host in target.elsewhere}
    if target.in_containers or target.here or not hosts:
        return Options(options, hosts)
    xdebug, fpm = options.get("xdebug"), options.get("fpm")
    (first, *others) = target.elsewhere
    alone = not others and not first.in_containers and first.host.startswith(_SSH)
    if alone and isinstance(xdebug, Mapping) and not any(xdebug.get(place) for place in _PLACES):
        options = {**options, "xdebug": {**xdebug, "host": first.host}}
    unreachable: tuple[tuple[str, str, str], ...] = ()
    if isinstance(fpm, Mapping) and fpm.get("access_log"):
        where = ", ".join(hosts.values())
        unreachable = (
            ("log.records", f"{fpm['access_log']} is on {where}, and logs there are not followed", _LOG_COSTS),
        )
        options = {**options, "fpm": {key: value for key, value in fpm.items() if key == "status"}}
    return Options(options, hosts, unreachable)


def reaches_out(target: TargetSpec) -> bool:
    """Whether an adapter has something to do for a target on other hosts although no agent is there: Xdebug is deployed."""
    return bool(target.adapter_options.get("xdebug"))
