"""Lines of the FPM access log this adapter configures (`adapters.php.fpm.ACCESS_FORMAT`). Pure.

It needs no code inside PHP. FPM writes a line when a request has ended but before its shutdown functions run, and none when the
worker was killed; its memory column contains chunks cached from earlier requests of the worker.
"""

from __future__ import annotations

import re

from harness.model.span import RequestRecord

_LINE = re.compile(
    rb"(?P<pid>[0-9]{1,10}) (?P<status>[0-9]{1,3}) (?P<memory>[0-9]{1,15}) (?P<micro>[0-9]{1,15}) "
    rb"(?:00-[0-9a-f]{32}-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}|[^ ]{1,200}) (?P<name>[A-Z]{1,16} .{0,400})"
)


def parse_access_line(line: bytes) -> RequestRecord | None:
    """One line without its newline; None for anything else, FPM's own pings included."""
    match = _LINE.match(line)
    if match is None or b" /.harness/" in match["name"]:
        return None
    return RequestRecord(
        source="fpm-access-log",
        pid=int(match["pid"]),
        span_id=None if match["span"] is None else match["span"].decode(),
        sequence=None,
        start_ns=None,
        end_ns=None,
        wall_end_ns=None,
        name=match["name"].decode(errors="replace"),
        status=int(match["status"]) or None,
        first_in_process=None,
        values={"fpm_memory_bytes": int(match["memory"]), "duration_ns": int(match["micro"]) * 1000},
    )
