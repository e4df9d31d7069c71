"""Why no record came although requests were answered."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.php.options import PhpOptions
from adapters.php.state import Places
from harness.plugins.spec import LaunchPlan

_PREPEND_FAILED = re.compile(
    r"(Failed opening required|open_basedir|failed to open stream)[^\n]*prepend\.php", re.IGNORECASE
)


def explain(places: Places, options: PhpOptions, plans: Sequence[LaunchPlan], output_tail: str) -> str:
    """The likely reason, as a sentence. PHP has no start-up hook under php-fpm, so the first request is the sign of life."""
    if _PREPEND_FAILED.search(output_tail):
        return (
            f"PHP could not open the agent below {places.root}: open_basedir forbids it, or the pool's user cannot pass "
            "through a directory above it; run with an output directory that the pool's user can read"
        )
    records = next(iter(places.records.glob("php-*.ndjson")), None)
    if records is None:
        return "the records file is gone: something removed it from the run directory during the run"
    if options.serve is not None:
        return _of_served(places)
    if not any("auto_prepend_file=" in word for plan in plans for word in plan.argv):
        return (
            "the program was given the agent by the environment variable PHP_INI_SCAN_DIR, and PHP did not read it: the program "
            "does not pass its environment on, starts PHP with -n, or the pool sets auto_prepend_file with php_admin_value"
        )
    return (
        "the script is still running, was killed before it could write its record, or sets auto_prepend_file itself; "
        "disable_functions may forbid what the agent needs"
    )


def _of_served(places: Places) -> str:
    try:
        answered = (places.root / "access.log").stat().st_size > 0
    except OSError:
        answered = False
    if not answered:
        return "no request reached php-fpm: all answers were static files or came from nginx itself"
    return (
        "php-fpm answered, but the agent wrote nothing: disable_functions forbids what it needs (fopen, fwrite, json_encode, "
        "register_shutdown_function), the disk is full, or the workers were killed in every request"
    )
