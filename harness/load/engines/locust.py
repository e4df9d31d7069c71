"""The scenario's traffic sent by Locust: a master and workers, here or on other machines (docs/load.md, "Locust").

Which requests make a block is decided as in the built-in engine, and shared out; users behave by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.load.engines import Executor
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.plan_json import JsonObject
from harness.load.render import compile_plan
from harness.load.swarm.processes import HERE, Swarm, Team
from harness.load.swarm.wire import digest


class LocustEngine:
    """Options: those of `Team`."""

    name = "locust"

    async def open(self, plan: LoadPlan | None, options: Mapping[str, Any], output: Output) -> Executor:
        """See `harness.load.engines.Engine`."""
        if plan is None:
            raise ValueError("the Locust engine needs a plan")
        given = JsonObject(dict(options), "options")
        team = Team.from_options(given)
        given.done()
        order = {
            "users": plan.users,
            "spawn_rate": plan.users,
            "locustfile": None,
            "weights": compile_plan(plan).weights,
            "seed": plan.seed,
            "digest": digest(plan.to_json()),
            "target": None,
        }
        return await Swarm.start(order, team, [HERE / "locustfile.py"], plan, output)


ENGINE = LocustEngine()
