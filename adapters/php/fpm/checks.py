"""Whether a php-fpm that runs already will tell what ``target.php.fpm`` hopes for. Looks, changes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from adapters.php.fpm.log import Log, log_of
from adapters.php.fpm.pool_config import ACCESS_FORMAT
from adapters.php.fpm.status import page_of, read_status
from adapters.php.options import Fpm
from harness.errors import TargetError, UsageError
from harness.plugins.spec import Check, CheckLevel

_LOG, _STATUS = "php.fpm.access_log", "php.fpm.status"
_LOG_COSTS = "no request is known from the access log"
_STATUS_COSTS = "how many requests each worker answered and whether requests queued is not known"
_WAITED = "requests may have waited for a worker: latencies then contain the queue"
_TIMEOUT_S = 2.0
_LINE = f'access.format = "{ACCESS_FORMAT}"'


def check_fpm(fpm: Fpm) -> Iterator[Check]:
    """Log first, then status page."""
    if fpm.access_log is not None:
        try:
            log = log_of(fpm)
        except UsageError as error:
            level = CheckLevel.WARNING if fpm.access_format is None else CheckLevel.ERROR
            yield Check(_LOG, level, error.message, f"of the pool:  {_LINE}", _LOG_COSTS)
        else:
            assert log is not None
            yield from _log(log)
    if fpm.status is not None:
        yield from _status(fpm.status)


def _log(log: Log) -> Iterator[Check]:
    try:
        descriptor = os.open(log.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        os.close(descriptor)
    except OSError as error:
        why = f"{log.path} cannot be read: {error.strerror}"
        yield Check(_LOG, CheckLevel.WARNING, why, "run the harness as root, or let it read the file", _LOG_COSTS)
        return
    if not regular:
        why = f"{log.path} is no file, so it cannot be followed"
        yield Check(_LOG, CheckLevel.WARNING, why, "access.log = /a/file of the pool", _LOG_COSTS)
        return
    names, told = log.form.names, f"by {log.told_by} the format is {log.form.text}"
    if "p" not in names:
        why = f"the lines of {log.path.name} do not say which worker answered; {told}"
        yield Check(_LOG, CheckLevel.WARNING, why, f"of the pool:  {_LINE}", _LOG_COSTS)
    elif not names & {"e:HTTP_TRACEPARENT", "e:UNIQUE_ID"}:
        why = f"the lines of {log.path.name} do not say which request they are of; {told}"
        costs = "the log counts requests by worker, and ties none to a request of the run"
        yield Check(_LOG, CheckLevel.WARNING, why, f"of the pool:  {_LINE}", costs)


def _status(text: str) -> Iterator[Check]:
    try:
        status = read_status(page_of(text), _TIMEOUT_S)
    except UsageError as error:
        yield Check(_STATUS, CheckLevel.ERROR, error.message, error.hint)
        return
    except TargetError as error:
        fix = "of the pool:  pm.status_path = /fpm-status  (and pm.status_listen = 127.0.0.1:9001, which answers under load)"
        yield Check(_STATUS, CheckLevel.WARNING, error.message, fix, _STATUS_COSTS)
        return
    for said in status.pressure().values():
        yield Check(f"{_STATUS}.{status.pool}", CheckLevel.WARNING, f"before the run: {said}", None, _WAITED)
