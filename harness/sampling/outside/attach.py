"""The runtimes that can be looked into, by the name their metrics carry."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from .glibc import reader as glibc
from .php import reader as php
from .process import Process
from .python import reader as python
from .reader import Reader

# None: that runtime is not in the process. Raises Refused when it is and cannot be trusted.
Attach = Callable[[Process], Optional[Reader]]
ATTACH: Dict[str, Attach] = {"python": python.attach, "php": php.attach, "glibc": glibc.attach}
