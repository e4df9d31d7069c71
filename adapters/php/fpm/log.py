"""The access log of a php-fpm that runs already, as a source of records: no code in PHP, and no peak of single requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from adapters.php.fpm.access_format import DEFAULT_FORMAT, AccessFormat, compile_format
from adapters.php.fpm.pools import RunningPool, running_pools
from adapters.php.fpm.status import page_of
from adapters.php.options import Fpm
from harness.errors import UsageError
from harness.plugins.spec import RecordSource


@dataclass(frozen=True, slots=True)
class Log:
    """``told_by``: where the format was found, in words. ``ignored``: paths php-fpm answers itself."""

    path: Path
    form: AccessFormat
    told_by: str
    ignored: frozenset[str]


def log_source(fpm: Fpm) -> Sequence[RecordSource]:
    """The log to follow, if the scenario names one that can be read; what is wrong with it is said by preflight."""
    try:
        log = log_of(fpm)
    except UsageError:
        return ()
    if log is None:
        return ()
    return (RecordSource("", partial(log.form.record, ignored=log.ignored), follow=log.path),)


def log_of(fpm: Fpm) -> Log | None:
    """The log and its format: the scenario's, else that of the running pool that writes there, else php-fpm's default.
    None where no log is named. Raises UsageError for a format that cannot be read back."""
    if fpm.access_log is None:
        return None
    pool = next((pool for pool in running_pools() if writes_to(pool, fpm.access_log)), None)
    settings = {} if pool is None else pool.settings
    text, told_by = DEFAULT_FORMAT, "php-fpm's default, for no running pool that writes there was found"
    if fpm.access_format is not None:
        text, told_by = fpm.access_format, "target.php.fpm.access_format"
    elif pool is not None:
        text, told_by = settings.get("access.format", DEFAULT_FORMAT), f"the configuration of the pool {pool.name}"
    ignored = set() if pool is None else set(pool.own_paths)
    if fpm.status is not None:
        ignored.add(_status_path(fpm.status))
    return Log(fpm.access_log, compile_format(text), told_by, frozenset(ignored - {""}))


def writes_to(pool: RunningPool, log: Path) -> bool:
    """Whether this is the ``access.log`` of the pool."""
    named = pool.settings.get("access.log", "").replace("$pool", pool.name)
    if not named.startswith("/"):
        return False
    try:
        return Path(pool.prefix + named).samefile(log)
    except OSError:
        return False


def _status_path(text: str) -> str:
    try:
        page = page_of(text)
        return page.path if page.url is None else urlsplit(page.url).path
    except (UsageError, ValueError):
        return ""
