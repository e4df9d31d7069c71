"""An adapter's options as they hold for this target: where its files are, and what of them is out of reach. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.scenario.target import TargetSpec
from harness.session.hosts.containers import options_in, pools_here, pools_on

_SSH = "ssh://"
_PLACES = ("process", "container", "host")
_STATUS_COSTS = "how many requests each worker answered and whether requests queued is not known"
_LOG_COSTS = "no request is known from the access log"


@dataclass(frozen=True, slots=True)
class Options:
    """``hosts``: addresses of the other hosts that are watched, and how reports call them. ``unreachable``: what was asked for
    and cannot be had, as (signal, reason, costs)."""

    of_adapter: Mapping[str, Any]
    hosts: Mapping[str, str] = field(default_factory=dict)
    unreachable: tuple[tuple[str, str, str], ...] = ()


def check_names(target: TargetSpec | None, *others: str) -> None:
    """Raises UsageError where two pools, or two places, would have the same name: processes and samples are told apart by it.
    ``others``: names that are taken besides."""
    if target is None or not (target.in_containers or target.elsewhere or target.here):
        return
    names = [*others, *pools_here(target)]
    for host in (*target.elsewhere, *target.here):
        names += dict.fromkeys([host.label, *(pools_on(host) if host.in_containers else ())])
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two pools would be called {name!r}", hint="give a host another name, or a container a role"
            )


def check_options(target: TargetSpec | None) -> None:
    """Raises UsageError where it is not known on which of several hosts, or in which of several containers there, Xdebug's files
    are."""
    options = {} if target is None else target.adapter_options
    if target is None or not target.elsewhere or target.in_containers or target.here or not options.get("xdebug"):
        return
    if not _has_place(options_for(options, target).of_adapter["xdebug"]):
        names = ", ".join(host.label for host in target.elsewhere)
        raise UsageError(
            f"target.php.xdebug: on which host is {options['xdebug']['output_dir']} (of {names})?",
            hint="add host: ssh://..., and container: NAME where they are in a container of that host",
        )


def options_for(options: Mapping[str, Any], target: TargetSpec | None) -> Options:
    """Xdebug's files are in the one container, or on the one host, of a target that has one only, or in the one container of that
    host, unless the scenario says otherwise. A log is followed on this machine only."""
    if target is None:
        return Options(options)
    options = options_in(options, target.in_containers)
    hosts = {host.host: host.label for host in target.elsewhere}
    if target.in_containers or target.here or not hosts:
        return Options(options, hosts)
    xdebug, fpm = options.get("xdebug"), options.get("fpm")
    (first, *others) = target.elsewhere
    alone = not others and len(first.in_containers) <= 1 and first.host.startswith(_SSH)
    if alone and isinstance(xdebug, Mapping) and not _has_place(xdebug):
        inside = {"container": first.in_containers[0].name} if first.in_containers else {}
        options = {**options, "xdebug": {**xdebug, "host": first.host, **inside}}
    unreachable: list[tuple[str, str, str]] = []
    where = ", ".join(hosts.values())
    if isinstance(fpm, Mapping) and fpm.get("access_log"):
        why = f"{fpm['access_log']} is on {where}, and logs there are not followed"
        unreachable.append(("log.records", why, _LOG_COSTS))
        fpm = {key: value for key, value in fpm.items() if key == "status"}
    if isinstance(fpm, Mapping) and fpm.get("status") and others:
        why = f"{fpm['status']} is the status page of one pool, and the target is on {where}"
        unreachable.append(("php.fpm.status", why, _STATUS_COSTS))
        fpm = {key: value for key, value in fpm.items() if key != "status"}
    return Options({**options, "fpm": fpm} if "fpm" in options else options, hosts, tuple(unreachable))


def _has_place(xdebug: Mapping[str, Any]) -> bool:
    return any(xdebug.get(place) for place in _PLACES)


def reaches_out(target: TargetSpec) -> bool:
    """Whether an adapter has something to do for a target on other hosts although no agent is there: Xdebug is deployed, or a
    pool has a status page."""
    return has_xdebug(target) or tells_status(target.adapter_options)


def has_xdebug(target: TargetSpec) -> bool:
    """Whether the scenario names an Xdebug that is deployed."""
    return bool(target.adapter_options.get("xdebug"))


def tells_status(options: Mapping[str, Any]) -> bool:
    """Whether a page is named that tells of a pool of php-fpm."""
    return bool((options.get("fpm") or {}).get("status"))
