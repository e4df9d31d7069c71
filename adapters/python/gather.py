"""From the record of a triggered tool to an artifact of the run. Always exactly one, whatever went wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from adapters.python import collect, deploy, receiver
from adapters.python.agent.snapshot import LIMIT_S as COPY_LIMIT_S
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import ToolRecord
from harness.plugins.spec import AdapterContext, ProfiledResponse, Trigger

TIMEOUT_S = 15.0
COPY_TIMEOUT_S = COPY_LIMIT_S + 5.0  # more, for what a copy of the process does
_NO_RESULT = (
    f"no result within {TIMEOUT_S:.0f} s; the request may have met a process without the agent, or one that was killed"
)
_NO_AGENT = "the request reached a process without the agent: none has announced itself in this run"
_NO_RESULT_OF_COPY = "the copy of the process that was to look at the heap has gone without a word"
_NO_SCRIPT_RESULT = "the program left no result; it ended by a signal, by os._exit, or runs no Python with the agent"


def gather(context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path) -> Artifact:
    """Wait for the tool's record of this span and copy its result below ``destination``."""
    scanner = collect.scanner(context, deploy.RECORDS_PATTERN)
    by_time = bool(trigger.argv) or not response.span_id
    wanted = _record_by_time(trigger, response) if by_time else _record_by_span(trigger, response)
    pending: list[ToolRecord] = []
    here = deploy.has_announcements(context.work_dir)
    record = collect.wait_for(scanner, _final(wanted, pending), TIMEOUT_S if here else 0.0)
    if record is None and pending:
        record = collect.wait_for(scanner, _final(wanted, pending), COPY_TIMEOUT_S)
    if record is None:
        reason = (
            _NO_RESULT_OF_COPY if pending else _NO_SCRIPT_RESULT if trigger.argv else _NO_RESULT if here else _NO_AGENT
        )
        return _artifact(trigger, response, None, ArtifactStatus.MISSING, reason)
    if record.file is None:
        return _artifact(trigger, response, record, ArtifactStatus.MISSING, record.error or "the tool gave no result")
    if receiver.has(trigger):
        return _received(context, trigger, response, record, destination)
    try:
        data = collect.read_result(context.work_dir / "results", record.file, record.pid)
    except ValueError as error:
        return _artifact(trigger, response, record, ArtifactStatus.REFUSED, str(error))
    name = _write(destination, trigger, response, record, data, "json")
    return _artifact(trigger, response, record, ArtifactStatus.COMPLETE, record.error or "", name, len(data))


def _write(
    destination: Path, trigger: Trigger, response: ProfiledResponse, record: ToolRecord, data: bytes, ending: str
) -> str:
    name = f"python-{trigger.tool}-{response.span_id or record.t_ns}.{ending}"
    destination.mkdir(parents=True, exist_ok=True)
    (destination / name).write_bytes(data)
    return name


def _received(
    context: AdapterContext, trigger: Trigger, response: ProfiledResponse, record: ToolRecord, destination: Path
) -> Artifact:
    """The profile came to our receiver, in the format of the tool; the agent's result only says that it was sent."""
    try:
        found = receiver.received(context, trigger)
    except ValueError as error:
        return _artifact(trigger, response, record, ArtifactStatus.MISSING, str(error))
    name = _write(destination, trigger, response, record, found.body, "bf")
    status = ArtifactStatus.TRUNCATED if found.problem else ArtifactStatus.COMPLETE
    detail = found.problem or record.error or ""
    artifact = _artifact(trigger, response, record, status, detail, name, len(found.body))
    times = {"session_start_ns": found.hello_ns, "session_end_ns": found.end_ns}
    return replace(artifact, attributes={**artifact.attributes, **times, "probe": found.probe})


def _final(wanted: collect.Wanted, pending: list[ToolRecord]) -> collect.Wanted:
    """What is ``wanted`` and more than the announcement of a result to come; such go to ``pending``."""

    def final(record: ToolRecord) -> bool:
        if not wanted(record):
            return False
        if collect.is_pending(record):
            pending.append(record)
            return False
        return True

    return final


def _record_by_span(trigger: Trigger, response: ProfiledResponse) -> collect.Wanted:
    return lambda record: record.span_id == response.span_id and record.tool == trigger.tool


def _record_by_time(trigger: Trigger, response: ProfiledResponse) -> collect.Wanted:
    """A script seldom knows its span (TRACEPARENT in its environment); else its end must fall into the job's time."""

    def wanted(record: ToolRecord) -> bool:
        if record.tool != trigger.tool:
            return False
        if record.span_id is not None and response.span_id:
            return record.span_id == response.span_id
        return response.start_ns <= record.t_ns <= response.end_ns

    return wanted


def _artifact(
    trigger: Trigger,
    response: ProfiledResponse,
    record: ToolRecord | None,
    status: ArtifactStatus,
    detail: str,
    path: str | None = None,
    size_bytes: int | None = None,
) -> Artifact:
    values: Mapping[str, int | None] = {} if record is None else record.values
    return Artifact(
        tool=trigger.tool,
        adapter="python",
        path=path,
        status=status,
        span_id=response.span_id or None,
        endpoint=response.endpoint,
        pid=None if record is None else record.pid,
        t_ns=time.monotonic_ns() if record is None else record.t_ns,
        size_bytes=size_bytes,
        detail=detail,
        attributes=dict(values),
    )
