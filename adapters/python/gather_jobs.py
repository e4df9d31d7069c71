"""From the records of an armed tool to artifacts: one for each kind of job that ran under it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from adapters.python import collect, deploy
from adapters.python.gather import COPY_TIMEOUT_S
from adapters.python.readers import fields
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import ToolRecord
from harness.plugins.spec import AdapterContext, ProfiledResponse, Trigger

TIMEOUT_S = 15.0
QUIET_S = 2.0  # after the last record there may be one more: another kind of job, or a copy that reads the heap
_POLL_S = 0.05
_MOST_RECORDS = 128
_NOTHING = (
    f"no job ran under the tool within {TIMEOUT_S:.0f} s of its being fed; is the function among target.python.jobs, "
    "and does the command of load.each_round feed this worker?"
)


def gather(
    context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
) -> Sequence[Artifact]:
    """Wait for the records of jobs that began after ``response.start_ns``; of each kind of job copy the result of the run that
    had the most before it in its process. One artifact that says why when there is none."""
    records = _records(context, trigger, response)
    best: dict[str, tuple[int, ToolRecord, bytes]] = {}
    trouble = _NOTHING
    for record in records:
        try:
            if record.file is None:
                raise ValueError(record.error or "the tool gave no result")
            data = collect.read_result(context.work_dir / "results", record.file, record.pid)
            kind = fields.text(fields.load(trigger.tool, data), "name", fields.NAME_CAP)
        except ValueError as error:
            trouble = str(error)
            continue
        before = record.values.get("runs_before") or 0
        if kind not in best or before > best[kind][0]:
            best[kind] = before, record, data
    if not best:
        return [_artifact(trigger, None, response.endpoint, ArtifactStatus.MISSING, trouble)]
    destination.mkdir(parents=True, exist_ok=True)
    found = []
    for kind, (_, record, data) in sorted(best.items()):
        name = f"python-{trigger.tool}-job-{record.pid}-{record.t_ns}.json"
        (destination / name).write_bytes(data)
        found.append(_artifact(trigger, record, kind, ArtifactStatus.COMPLETE, record.error or "", name, len(data)))
    return found


def _records(context: AdapterContext, trigger: Trigger, response: ProfiledResponse) -> list[ToolRecord]:
    """All records of the tool since the start, once a run that was warmed up, or that failed, is among them and no more come."""
    scanner = collect.scanner(context, deploy.RECORDS_PATTERN)
    found: list[ToolRecord] = []
    owed = 0  # results that copies of the workers are working on
    began = last = time.monotonic()
    while True:
        new = [r for r in scanner.new_tool_records() if r.tool == trigger.tool and r.t_ns >= response.start_ns]
        now = time.monotonic()
        if new:
            found += [record for record in new if not collect.is_pending(record)]
            owed += len([record for record in new if collect.is_pending(record)])
            owed -= len(
                [record for record in new if record.values.get("snapshot_fork_ns") and not collect.is_pending(record)]
            )
            last = now
        warm = any(record.error or (record.values.get("runs_before") or 0) > 0 for record in found)
        limit_s = TIMEOUT_S + (COPY_TIMEOUT_S if owed > 0 else 0)
        if now - began > limit_s or len(found) >= _MOST_RECORDS or (warm and owed <= 0 and now - last > QUIET_S):
            return found[:_MOST_RECORDS]
        time.sleep(_POLL_S)


def _artifact(
    trigger: Trigger,
    record: ToolRecord | None,
    endpoint: str,
    status: ArtifactStatus,
    detail: str,
    path: str | None = None,
    size_bytes: int | None = None,
) -> Artifact:
    return Artifact(
        tool=trigger.tool,
        adapter="python",
        path=path,
        status=status,
        span_id=None,
        endpoint=endpoint,
        pid=None if record is None else record.pid,
        t_ns=time.monotonic_ns() if record is None else record.t_ns,
        size_bytes=size_bytes,
        detail=detail,
        attributes={} if record is None else dict(record.values),
    )
