"""What serves a pool, by the command lines of its processes: it decides which settings there are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.model.process import ProcessInfo

OTHER = "other"
# In order: the first that matches any process of the pool wins, so that a worker class inside another server comes first.
_SIGNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(sign))
    for name, sign in (
        ("php-fpm", r"\bphp-fpm"),
        ("gunicorn", r"\bgunicorn\b"),
        ("uwsgi", r"\buwsgi\b"),
        ("celery", r"\bcelery\b"),
        ("uvicorn", r"\buvicorn\b"),
        ("messenger", r"\bmessenger:consume"),
        ("queue-worker", r"\bqueue:(?:work|listen)\b|\bhorizon:work\b"),
        ("php-server", r"\bphp[0-9.]*\b.* -S "),
        ("apache", r"\b(?:apache2|httpd)\b"),
        ("script", r"\b(?:php|python)[0-9.]*\b"),
    )
)
WITH_JITTER = frozenset(
    {"gunicorn", "uwsgi"}
)  # can add a random number to the requests after which a worker is replaced
NAMES = (*(name for name, _ in _SIGNS), OTHER)


def server_of(processes: Iterable[ProcessInfo]) -> str:
    """One of `NAMES`."""
    lines = [f"{p.comm} {p.cmdline}" for p in processes]
    return next((name for name, sign in _SIGNS if any(sign.search(line) for line in lines)), OTHER)
