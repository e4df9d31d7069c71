"""Which of Xdebug's files belongs to one request, and the artifacts made of it.

In order of strength, told by the artifact's attribute ``found_by``: ``name`` (the file's name carries the request's span),
``header`` (the response names it), ``access-log`` (the log says which worker answered this span, and only one file of that worker
began meanwhile), ``time`` (only one file began meanwhile; in directories of our own alone). A header that lies never wins over a
name, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.php.xdebug.output_names import (
    OutputName,
    RefusedError,
    is_name,
    name_from_header,
    parse_name,
    pid_in_name,
)
from adapters.php.xdebug.outputs import Entry, Fetched, Outputs
from adapters.php.xdebug.tools import PROFILE, XdebugTool
from harness.clock import Clock
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import RequestRecord
from harness.plugins.spec import ProfiledResponse, Trigger

HEADER = "x-xdebug-profile-filename"
SCRIPT_FILES_CAP = 64
_LOG_WAIT_S = 1.0  # the line comes when the response has gone
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class _Choice:
    """The files to fetch, how they were found, and what else is to be said."""

    names: tuple[str, ...]
    found_by: str
    remark: str = ""


class _NotFoundError(Exception):
    """There is no file, or none is certainly the one; the text says why."""


class Collector:
    """Turns what one triggered request (or script) left behind into artifacts.

    ``ours``: the directory was made for this run: what is in it is removed, and names other than our own are not believed.
    ``parse_line`` reads one line of the access log. ``host``: what reports call the host that the directory is on, where that is
    another one whose processes are sampled; empty for this machine; None for a host that is not sampled, whose pids say nothing.
    """

    def __init__(
        self,
        adapter: str,
        tool: XdebugTool,
        outputs: Outputs,
        clock: Clock,
        *,
        ours: bool,
        parse_line: Callable[[bytes], RequestRecord | None],
        host: str | None = "",
    ) -> None:
        self._adapter = adapter
        self._tool = tool
        self._outputs = outputs
        self._clock = clock
        self._ours = ours
        self._parse_line = parse_line
        self._host = host

    def collect(self, trigger: Trigger, response: ProfiledResponse, destination: Path) -> list[Artifact]:
        """One artifact for a request; for a script one for each PHP process that wrote a file."""
        script = trigger.argv is not None
        if not script and not trigger.cookies:
            why = "Xdebug cannot be reached: use target.php.serve, or name a deployed one in target.php.xdebug"
            return [self._artifact(response, Fetched(ArtifactStatus.MISSING, why), destination)]
        choice = _Choice((), "")
        try:
            choice = self._of_script(response) if script else self._of_request(response)
            return list(self._fetched(choice, response, destination))
        except RefusedError as refusal:
            return [self._artifact(response, Fetched(ArtifactStatus.REFUSED, str(refusal)), destination)]
        except _NotFoundError as problem:
            why = self._outputs.trouble or str(problem)
            return [self._artifact(response, Fetched(ArtifactStatus.MISSING, why), destination)]
        finally:
            self._tidy(response, choice, script=script)

    def _fetched(self, choice: _Choice, response: ProfiledResponse, destination: Path) -> Iterator[Artifact]:
        for number, name in enumerate(choice.names):
            copy = destination / copy_name(self._tool, response, number)
            found = self._outputs.fetch(self._tool, name, copy)
            yield self._artifact(response, found, destination, choice, name)

    # -- which file ----------------------------------------------------------------------------------------------------

    def _of_script(self, response: ProfiledResponse) -> _Choice:
        names = [known.name for known in self._parsed() if self._meanwhile(known, response)]
        if not names:
            raise _NotFoundError(f"Xdebug wrote no {self._tool.kind} for this ({_status(response)})")
        remark = ""
        if len(names) > SCRIPT_FILES_CAP:
            remark = f"{len(names)} processes wrote one; the first {SCRIPT_FILES_CAP} are kept"
        return _Choice(tuple(names[:SCRIPT_FILES_CAP]), "time", remark)

    def _of_request(self, response: ProfiledResponse) -> _Choice:
        known = self._parsed()
        own = [name for name in known if response.span_id and name.span_id == response.span_id]
        named, lie = self._named(response, own)
        if own:
            timely = [known for known in own if self._meanwhile(known, response)]
            return self._of_span(timely or own, len(own), named, lie)
        if named is not None:
            return _Choice((named,), "header")
        by_log = self._by_log(response)
        if by_log is not None:
            return _Choice((by_log,), "access-log", lie)
        if lie:
            raise RefusedError(lie)
        return self._by_time(known, response)

    def _named(self, response: ProfiledResponse, own: Sequence[OutputName]) -> tuple[str | None, str]:
        """What the header names where that can be, and why it is not believed."""
        header = response.headers.get(HEADER) if self._tool is PROFILE else None
        if header is None:
            return None, ""
        try:
            name = name_from_header(self._tool, header, ours=self._ours)
        except RefusedError as refusal:
            return None, str(refusal)
        known = parse_name(self._tool, name)
        if known is not None and known.span_id not in {None, response.span_id}:
            return None, f"the response names the {self._tool.kind} of another request, {name!r}"
        if known is not None and self._ours and not self._meanwhile(known, response):
            return None, f"the response names a {self._tool.kind} that began at another time, {name!r}"
        if own and name not in {known.name for known in own}:
            return None, f"the response names {name!r}, which is not the {self._tool.kind} of this request"
        return name, ""

    def _of_span(self, own: Sequence[OutputName], count: int, named: str | None, lie: str) -> _Choice:
        """Requests that a redirection led to have the span too, and the last of them is what was answered."""
        name = named or own[-1].name
        remarks = [lie] if lie else []
        if count > 1:
            which = "the response names this one" if named else (
                "this one began last: after a redirection it is of the answer, but of a request the application sent to itself "
                "it is not"
            )  # fmt: skip
            remarks.append(f"{count} files carry the span of this request; {which}")
        return _Choice((name,), "name", "; ".join(remarks))

    def _by_log(self, response: ProfiledResponse) -> str | None:
        pid = self._logged_pid(response.span_id)
        if pid is None:
            return None
        found = [
            entry.name
            for entry in self._outputs.entries()
            if is_name(self._tool, entry.name)
            and pid_in_name(self._tool, entry.name) == pid
            and self._written_meanwhile(entry, response)
        ]
        return found[0] if len(found) == 1 else None

    def _logged_pid(self, span_id: str) -> int | None:
        """The worker that answered; the log is waited for if there is one."""
        deadline_ns = self._clock.monotonic_ns() + int(_LOG_WAIT_S * 1e9)
        while span_id and (tail := self._outputs.log_tail()):
            records = [self._parse_line(line) for line in tail.split(b"\n") if span_id.encode() in line]
            pids = {record.pid for record in records if record is not None and record.span_id == span_id}
            if pids:
                return pids.pop() if len(pids) == 1 else None
            if self._clock.monotonic_ns() >= deadline_ns:
                break
            self._clock.sleep(_STEP_S)
        return None

    def _by_time(self, known: Sequence[OutputName], response: ProfiledResponse) -> _Choice:
        if not self._ours:
            told = f"no {self._tool.kind} is named after it, by the response ({_status(response)}) or in {self._outputs.label}"
            raise _NotFoundError(f"{told}: is the secret right, and output_dir that of this server?")
        names = [name.name for name in known if name.span_id is None and self._meanwhile(name, response)]
        if not names:
            raise _NotFoundError(f"Xdebug wrote no {self._tool.kind} for this ({_status(response)})")
        if len(names) > 1:
            raise _NotFoundError(f"nothing names the {self._tool.kind}, and {len(names)} of them began meanwhile")
        return _Choice(tuple(names), "time")

    def _parsed(self) -> list[OutputName]:
        """Files with names of ours, the first begun first."""
        found = (parse_name(self._tool, entry.name) for entry in self._outputs.entries())
        return sorted((name for name in found if name is not None), key=lambda name: (name.started_ns, name.name))

    def _wall(self, response: ProfiledResponse) -> tuple[int, int]:
        """Begin and end in wall time of the place; file names know the begin to the microsecond."""
        there = self._outputs.wall_offset()
        to_wall = self._clock.wall_ns() - self._clock.monotonic_ns() + there.ns
        return response.start_ns + to_wall - 1000 - there.error_ns, response.end_ns + to_wall + there.error_ns

    def _meanwhile(self, known: OutputName, response: ProfiledResponse) -> bool:
        begin, end = self._wall(response)
        return begin <= known.started_ns <= end

    def _written_meanwhile(self, entry: Entry, response: ProfiledResponse) -> bool:
        known = parse_name(self._tool, entry.name)
        return self._meanwhile(known, response) if known is not None else entry.modified_ns >= self._wall(response)[0]

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def _tidy(self, response: ProfiledResponse, choice: _Choice, *, script: bool) -> None:
        """Remove what this request and the throw-away ones before it left: one file can have hundreds of MB. In directories that
        others use too, that is what carries the span of one of these requests."""
        begin, end = self._wall(response)
        spans = {response.span_id, *response.warmup_spans} - {""}
        done = [
            known.name
            for known in self._parsed()
            if known.span_id in spans
            or (self._ours and known.started_ns <= (end if script or known.span_id is None else begin))
        ]
        self._outputs.remove([*done, *choice.names] if self._ours else done)

    def _artifact(
        self,
        response: ProfiledResponse,
        found: Fetched,
        destination: Path,
        choice: _Choice | None = None,
        name: str = "",
    ) -> Artifact:
        remark = "" if choice is None else choice.remark
        pid = None if self._host is None else pid_in_name(self._tool, name)
        if pid is not None:
            pid = self._outputs.pid_outside(pid)
        return Artifact(
            tool=self._tool.name,
            adapter=self._adapter,
            path=None if found.path is None else str(found.path.relative_to(destination)),
            status=found.status,
            span_id=response.span_id or None,
            endpoint=response.endpoint,
            pid=pid,
            t_ns=response.end_ns,
            size_bytes=found.size_bytes,
            detail="; ".join(text for text in (found.detail, remark) if text),
            attributes={
                "found_by": None if choice is None else choice.found_by,
                **({"host": self._host} if self._host else {}),
            },
        )


def copy_name(tool: XdebugTool, response: ProfiledResponse, number: int) -> str:
    """A name of our own: tool, endpoint in harmless letters, span, and a number from the second file on."""
    endpoint = re.sub(r"[^a-z0-9]+", "-", response.endpoint.lower()).strip("-")[:40] or "request"
    which = f"-{number + 1}" if number else ""
    return f"{tool.name}-{endpoint}-{response.span_id or response.start_ns}{which}{tool.extension}"


def _status(response: ProfiledResponse) -> str:
    return "no response" if response.status is None else f"status {response.status}"
