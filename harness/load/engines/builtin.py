"""The engine without a name in scenarios: httpx and asyncio, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.load.engines import BUILTIN, Executor
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.traffic import Traffic


class BuiltinEngine:
    """Sends from the process it is opened in. No options."""

    name = BUILTIN

    async def open(self, plan: LoadPlan | None, options: Mapping[str, Any], output: Output) -> Executor:
        """See `harness.load.engines.Engine`."""
        if plan is None:
            raise ValueError("the built-in engine needs a plan")
        if options:
            raise ValueError(f"the built-in engine has no option {min(options)!r}")
        return Traffic(plan, output)


ENGINE = BuiltinEngine()
