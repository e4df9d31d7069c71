"""What workers say, looked at before it is passed on: a worker may be on another machine, and anybody who reaches the master's
port can pass for one. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.model.span import PhaseName

HEALTH = ("cpu", "rss", "lag", "in_flight", "dropped", "retried")
_MOST = 1 << 62  # ns, bytes
_MOST_STATUS = 999
_MOST_ROWS = 1000
_MOST_CHECKS = 64
_LETTERS = 500
_MOST_ENDPOINTS = 5000  # hooks for a locustfile send fewer each
_LINE_BYTES = 256 << 10  # of rows in one line to the session
_SPAN_ID = re.compile(r"[0-9a-f]{16}\Z")
_COLUMNS = 13


def whole(value: object, least: int = 0, most: int = _MOST) -> int:
    """A number within bounds. Raises ValueError."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r:.40} is no number of that kind")
    return value


def health(data: Mapping[str, Any]) -> Mapping[str, int]:
    """How a worker is. Raises ValueError, and what comes of data of another shape."""
    return {name: whole(data[name]) for name in HEALTH}


class Rows:
    """Rows of spans as lines to the session take them. Keeps the names of endpoints, which have an end."""

    def __init__(self) -> None:
        self._endpoints: set[str] = set()

    def lines(self, rows: object) -> Iterator[Sequence[Sequence[object]]]:
        """The rows, as many at a time as a line holds. Raises ValueError."""
        if not isinstance(rows, list) or len(rows) > _MOST_ROWS:
            raise ValueError("no rows")
        checked = [self._row(row) for row in rows]
        line: list[list[object]] = []
        size = 0
        for row in checked:
            length = len(json.dumps(row))
            if line and size + length > _LINE_BYTES:
                yield line
                line, size = [], 0
            line.append(row)
            size += length
        if line:
            yield line

    def _row(self, row: object) -> list[object]:
        if not isinstance(row, list) or len(row) != _COLUMNS:
            raise ValueError("no row of a span")
        span_id, endpoint, phase, number, block, user, intended, start, end, status, error, size, failed = row
        if not isinstance(span_id, str) or not _SPAN_ID.match(span_id):
            raise ValueError("no id of a span")
        if not isinstance(failed, list) or len(failed) > _MOST_CHECKS:
            raise ValueError("no checks")
        begun = whole(start)
        return [
            span_id, self._endpoint(_text(endpoint)), str(PhaseName(phase)), _or_none(number), _or_none(block), whole(user),
            _or_none(intended), begun, whole(end, begun), None if status is None else whole(status, 0, _MOST_STATUS),
            None if error is None else _text(error, cut=True), whole(size), [_text(each, cut=True) for each in failed],
        ]  # fmt: skip

    def _endpoint(self, name: str) -> str:
        if name not in self._endpoints:
            if len(self._endpoints) >= _MOST_ENDPOINTS:
                raise ValueError("too many names of requests")
            self._endpoints.add(name)
        return name


def _or_none(value: object) -> int | None:
    return None if value is None else whole(value)


def _text(value: object, *, cut: bool = False) -> str:
    """Raises ValueError where it is none, is too long and may not be ``cut``, or no file takes it."""
    if not isinstance(value, str) or not value or (len(value) > _LETTERS and not cut):
        raise ValueError("no text of that kind")
    value = value[:_LETTERS]
    value.encode()
    return value
