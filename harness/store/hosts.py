"""What a run says of the hosts it watched, read from a file that may be damaged or anybody's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from harness.model.event import Scalar
from harness.model.host import RunHost

MOST_HOSTS = 1_000
MOST_OFFSET_NS = 1 << 61  # 73 years between the boots of two machines; sums of a few of these fit into 64 bits
_INT64 = 1 << 63
_KINDS: Mapping[str, type] = {"str": str, "bool": bool, "int": int}


def hosts_of(text: str) -> tuple[RunHost, ...]:
    """The hosts in a manifest. What a later version says about them besides is passed over. Raises ValueError when it is not a
    list of hosts with names of their own."""
    found = json.loads(text)
    if not isinstance(found, list) or len(found) > MOST_HOSTS:
        raise ValueError("the hosts of the run are no list of hosts")
    hosts = tuple(_host(each) for each in found)
    if len({host.name for host in hosts}) < len(hosts) or sum(host.first for host in hosts) > 1:
        raise ValueError("two hosts of the run are the same one")
    return hosts


def _host(told: object) -> RunHost:
    if not isinstance(told, dict):
        raise ValueError("a host of the run is no object of names and values")  # as what json raises
    values: dict[str, Any] = {}
    for field in fields(RunHost):
        if field.name == "facts":
            values["facts"] = scalars(told.get("facts", {}), "a fact of a host")
        elif field.name in told:
            values[field.name] = _value(field.name, _KINDS[str(field.type)], told[field.name])
        elif field.default is MISSING:
            raise ValueError(f"a host of the run has no {field.name}")
    if not values["name"] or abs(values["offset_ns"]) > MOST_OFFSET_NS:
        raise ValueError("a host of the run has no name, or a clock that no host has")
    return RunHost(**values)


def _value(name: str, kind: type, value: object) -> object:
    if type(value) is not kind:
        raise ValueError(f"{name} of a host of the run is no {kind.__name__}")
    return value


def attributes_of(text: str) -> dict[str, Scalar]:
    """Of an event or an artifact. Raises ValueError for anything but names and plain values of 64 bits."""
    return scalars(json.loads(text), "an attribute")


def scalars(document: object, what: str) -> dict[str, Any]:
    """Names and plain values. Raises ValueError for anything else."""
    if not isinstance(document, dict):
        raise ValueError(f"{what} stands in no object of names and values")
    for value in document.values():
        if not (value is None or isinstance(value, str | float | int)):
            raise ValueError(f"{what} is neither a number nor a text")
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise ValueError(f"{what} is a number of more than 64 bits")
    return document
