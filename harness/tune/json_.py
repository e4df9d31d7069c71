"""Parameters as JSON: format ``harness-tune/1``, schema in ``tune.schema.json``. Fields may be added, not changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.tune.model import Commands, Entry, Group, Host, Judgement, Window

FORMAT = "harness-tune/1"


def document(host: Host, entries: Sequence[Entry]) -> str:
    """One line of ASCII, without its end."""
    return json.dumps(as_object(host, entries), ensure_ascii=True, separators=(",", ":"))


def as_object(host: Host, entries: Sequence[Entry]) -> dict[str, Any]:
    """Sizes are bytes, times seconds, None is unknown."""
    return {
        "format": FORMAT,
        "host": {
            "name": host.name,
            "kernel": host.kernel,
            "live": host.live,
            "container": host.container,
            "memory_bytes": host.total,
            "available_bytes": host.meminfo.get("MemAvailable"),
            "swap_bytes": host.swap.get("size", host.meminfo.get("SwapTotal")),
            "swap_used_bytes": host.swap.get("used"),
        },
        "run": host.run or None,
        "changed_since_run": list(host.changed),
        "windows": [_window(window) for window in host.windows],
        "parameters": [_entry(entry) for entry in entries],
        "groups": [_group(group) for group in host.groups],
        "unread": [{"what": what, "reason": why} for what, why in host.unread],
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "span": window.span.name.lower(),
        "seconds": window.seconds,
        "waiting_share": window.waiting,
        "least_available_bytes": window.least_available,
        "counters": dict(sorted(window.counters.items())),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    parameter = entry.parameter
    return {
        "name": parameter.name,
        "kind": parameter.kind.value,
        "current": entry.current,
        "unit": parameter.unit or None,
        "why_unknown": entry.why_unknown or None,
        "set_by": entry.origin or None,
        "meaning": entry.meaning,
        **_judgement(entry.judgement),
        "commands": None if entry.commands is None else _commands(entry.commands),
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.value,
        "text": judgement.text,
        "evidence": [
            {"signal": e.signal, "value": e.value, "unit": e.unit or None, "side": e.side.value, "text": e.text}
            for e in judgement.evidence
        ],
        "recommended": judgement.value,
        "group": None if judgement.group is None else judgement.group.name,
        "expected": judgement.expected or None,
        "risk": judgement.risk or None,
        "verify": judgement.verify or None,
    }


def _commands(commands: Commands) -> dict[str, str]:
    return {
        "temporary": commands.temporary,
        "persistent": commands.persistent,
        "undo_temporary": commands.undo_temporary,
        "undo_persistent": commands.undo_persistent,
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "version": group.version,
        "current_bytes": group.current,
        "max_bytes": group.max,
        "high_bytes": group.high,
        "low_bytes": group.low,
        "swap_max_bytes": group.swap_max,
        "swap_bytes": group.swap_current,
        "waiting_share": group.pressure,
        "events": dict(group.events),
        "new_events": dict(group.new),
    }
