"""Every parameter, in the order in which they are shown. A new one is an object in a module here, its name in `PARAMETERS`, and a
text in ``texts/``.

A judge looks at a `Host` and recommends a change only where something was measured now or in the recorded run that the change
would improve; what was counted since boot is told, and is never enough by itself. Most of the time the answer is: leave it.
"""

from __future__ import annotations

from harness.tune.model import Parameter
from harness.tune.parameters import (
    background,
    caches,
    compaction,
    groups,
    hugepages,
    limits,
    numa,
    overcommit,
    swap,
    watermarks,
    writeback,
)

PARAMETERS: tuple[Parameter, ...] = (
    *swap.PARAMETERS,
    *watermarks.PARAMETERS,
    *caches.PARAMETERS,
    *writeback.PARAMETERS,
    *overcommit.PARAMETERS,
    *compaction.PARAMETERS,
    *hugepages.PARAMETERS,
    *numa.PARAMETERS,
    *background.PARAMETERS,
    *limits.PARAMETERS,
    *groups.PARAMETERS,
)


def named(text: str) -> Parameter | None:
    """The parameter of that name or alias, in any case, with or without its prefix (``swappiness``); None when there "
    "is none."""
    wanted = text.strip().lower().replace("/", ".").removeprefix("proc.sys.").removeprefix(".proc.sys.")
    for parameter in PARAMETERS:
        names = (parameter.name, *parameter.aliases)
        if wanted and (wanted in names or any(wanted == name.partition(".")[2] for name in names)):
            return parameter
    return None
