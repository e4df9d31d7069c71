"""Row by row, what of a run's database goes into a bundle. Names of columns and their order: `harness.store.schema`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from harness.bundle.scenario import shared_scenario, shared_version
from harness.model.host import HOST, LOCAL, RunHost
from harness.redact.sharing import PROGRAMS, Sharing
from harness.store.hosts import hosts_of

Row = tuple[Any, ...]
_SPAN = re.compile(r"[0-9a-f]{16}")
_VERSION = re.compile(r"[0-9][\w.+\-]{0,30}")
_WORD = re.compile(r"[a-z][a-z0-9_.\-]{0,40}")
_PROCESS = re.compile(
    r"^([^()]{0,60}? (?:in|of) )?([^()]{1,64}?) \(pid "
)  # the first "in" or "of": names may hold them too
_OUTPUT = "its last output:"  # behind it, errors of the start quote the target's log
_SENTENCE = re.compile(r"[\w \-.,%()/]{0,80}")
# Attributes of events and artifacts whose values are words of ours.
_OURS = frozenset({
    "allocator", "cause", "found_by", "layout", "mode", "no_line", "opens_with", "pool", "pymalloc", "reason",
    "role", "runtime", "source", "status", "tool", "version",
})  # fmt: skip
_PATHS = frozenset({"image", "file", "path"})
_HOST = frozenset({"kernel", "cpu_model", "machine", "libc", "harness_python", "thp"})


class Rewriting:
    """What to make of each row, table by table (`tables`). ``artifacts``: for each, numbered from 1, the path in the bundle, why
    there is none, and further attributes."""

    def __init__(self, sharing: Sharing, artifacts: Mapping[int, tuple[str | None, str, Mapping[str, object]]]) -> None:
        self._to = sharing
        self._artifacts = artifacts

    @property
    def tables(self) -> dict[str, Callable[[Row], Row | None]]:
        """For `harness.store.copying.copy_run`."""
        return {
            "meta": self._meta, "anchor": self._anchor, "process": self._process, "endpoint": self._endpoint, "span": self._span,
            "record": self._record, "boot": self._boot, "tool": self._tool, "event": self._event, "artifact": self._artifact,
            "missing": self._missing, "tail": _nothing, "series": self._series, "lane": self._lane,
            "object_type": self._object_type,
        }  # fmt: skip

    def _meta(self, row: Row) -> Row | None:
        key, value = row
        if key in ("format", "status", "tool_version", "runtime", "started_ns", "ended_ns", "started_wall_ns"):
            return row
        if key in ("run_id", "scenario_name"):
            return key, self._to.code(value)
        if key == "scenario_path":
            return key, "scenario.yaml"
        if key == "status_text":
            return key, self._to.text(value.partition(_OUTPUT)[0].rstrip())
        if key == "scenario":
            return key, _json(shared_scenario(json.loads(value), self._to))
        if key == "unmeasured_pools":
            return key, _json([self._to.code(pool) for pool in json.loads(value)])
        if key == "host":
            return key, _json({name: self._host(name, each) for name, each in json.loads(value).items()})
        if key == "costs":  # those of further hosts are called so
            return key, _json({self._to.code(name): each for name, each in json.loads(value).items()})
        if key == "hosts":
            return key, _json([self._run_host(host) for host in hosts_of(value)])
        if key == "facts":
            facts = ((self._to.code(name), self._fact(each)) for name, each in json.loads(value).items())
            return key, _json(dict(facts))
        return None

    def _host(self, name: str, value: object) -> object:
        if name == "node":
            return self._to.host(str(value))
        if value is None or isinstance(value, int | float):
            return value
        return self._to.code(str(value)) if name in _HOST else self._to.text(str(value))

    def _run_host(self, host: RunHost) -> Mapping[str, object]:
        """Where it is stays here."""
        facts = {name: self._host(name, each) for name, each in host.facts.items()}
        name, role, version = self._to.host(host.name), self._to.code(host.role), shared_version(host.version, self._to)
        place = host.place if host.place == LOCAL else ""
        return asdict(replace(host, name=name, place=place, role=role, version=version, facts=facts))  # type: ignore[arg-type]

    def _fact(self, value: object) -> object:
        if isinstance(value, int | float):
            return value
        return self._to.path(str(value)) if str(value).startswith("/") else self._to.text(str(value))

    def _anchor(self, row: Row) -> Row:
        return self._to.host(row[0]), *row[1:]

    def _process(self, row: Row) -> Row:
        number, host, pid, ticks, ppid, comm, cmdline, uid, pool, *times = row
        shown = 0 if uid == 0 else None  # who it was is nobody's business, that it was not root may matter
        return (
            number, self._to.host(host), pid, ticks, ppid, self._to.program(comm), self._to.command(cmdline), shown,
            self._to.code(pool), *times,
        )  # fmt: skip

    def _endpoint(self, row: Row) -> Row:
        return row[0], self._to.code(row[1])

    def _span(self, row: Row) -> Row:
        *head, error, body_bytes, checks = row
        failed = None if not checks else _json([self._to.text(str(each)) for each in json.loads(checks)])
        return *head, None if error is None else self._to.text(error), body_bytes, failed

    def _record(self, row: Row) -> Row:
        number, source, pid, span, sequence, start, end, wall_end, name, status, first, data = row
        return (
            number, self._source(source), pid, self._span_id(span), sequence, start, end, wall_end, self._to.request(name),
            status, first, _json(self._numbers(data)),
        )  # fmt: skip

    def _boot(self, row: Row) -> Row:
        source, pid, ppid, t_ns, version, argv = row
        return (
            self._source(source),
            pid,
            ppid,
            t_ns,
            version if _VERSION.fullmatch(version) else "",
            self._to.command(argv),
        )

    def _tool(self, row: Row) -> Row:
        source, pid, span, t_ns, tool, _, error, data = row
        return (
            self._source(source), pid, self._span_id(span), t_ns, self._word(tool), None,
            None if error is None else self._to.text(error), _json(self._numbers(data)),
        )  # fmt: skip

    def _event(self, row: Row) -> Row:
        number, t_ns, kind, process, text, attributes = row
        told = _json(self._attributes(json.loads(attributes)))
        return number, t_ns, self._to.code(kind), process, self._to.text(_PROCESS.sub(self._named, text)), told

    def _named(self, found: re.Match[str]) -> str:
        """A process by its name and pid in a sentence: it may have had another name then than it has in its row."""
        return f"{found.group(1) or ''}{self._to.program(found.group(2))} (pid "

    def _artifact(self, row: Row) -> Row:
        number, tool, adapter, _, status, span, endpoint, pid, t_ns, size_bytes, detail, attributes = row
        path, reason, more = self._artifacts[number]
        told = "; ".join(text for text in (self._to.text(detail), reason) if text)
        return (
            number, self._word(tool), self._word(adapter), path, status, self._span_id(span),
            None if endpoint is None else self._to.code(endpoint), pid, t_ns, size_bytes, told,
            _json({**self._attributes(json.loads(attributes)), **more}),
        )  # fmt: skip

    def _missing(self, row: Row) -> Row:
        signal, reason, costs = row
        return self._to.code(signal), self._to.text(reason), self._to.text(costs)

    def _series(self, row: Row) -> Row:
        return row[0], self._to.code(row[1]), *row[2:]

    def _lane(self, row: Row) -> Row:
        return row[0], self._to.code(row[1])

    def _object_type(self, row: Row) -> Row:
        return row[0], self._word(row[1]), self._to.code(row[2])

    def _attributes(self, attributes: Mapping[str, object]) -> dict[str, object]:
        return {self._to.path(name): self._attribute(name, value) for name, value in attributes.items()}

    def _attribute(self, name: str, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value)
        if name == "span" and _SPAN.fullmatch(text):
            return text
        if name == HOST:
            return self._to.host(text)
        if name in _PATHS:
            return self._to.path(text)
        if name in _OURS and _SENTENCE.fullmatch(text):
            return self._to.code(text)
        return self._to.text(text)

    def _numbers(self, data: str) -> dict[str, object]:
        """Of what an agent wrote, the numbers: a record's values are nothing else."""
        return {
            self._to.code(name): value for name, value in json.loads(data).items() if isinstance(value, int | float)
        }

    def _span_id(self, text: str | None) -> str | None:
        return text if text is None or _SPAN.fullmatch(text) else self._to.pseudonym("value", text)

    def _source(self, text: str) -> str:
        """Of a record: what wrote it, and the host."""
        source, at, host = text.partition("@")
        return f"{self._word(source)}@{self._to.host(host)}" if at else self._word(source)

    def _word(self, text: str) -> str:
        return text if _WORD.fullmatch(text) and self._to.code(text) == text else self._to.pseudonym("name", text)


def _nothing(_: Row) -> None:
    """How far files were read that are not in the bundle."""


def _json(value: object) -> str:
    return json.dumps(value)


def names_kept(scenario: Mapping[str, object], pools: Sequence[str], endpoints: Sequence[str]) -> list[str]:
    """Words that a report is about, and that are therefore never taken for something that was sent."""
    runtime = scenario.get("target")
    kind = str(runtime.get("runtime", "")) if isinstance(runtime, Mapping) else ""
    return [
        *PROGRAMS,
        *pools,
        *endpoints,
        kind,
        "true",
        "false",
        "none",
        "null",
        "application/json",
        "text/html",
        "*/*",
    ]
