"""Somebody's own locustfile: Locust runs it as it is, we watch (docs/load.md, "Your own locustfile")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.load.engines import Executor
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.plan_json import JsonObject
from harness.load.swarm.processes import HERE, Swarm, Team


class LocustfileEngine:
    """Options: those of `Team`, ``locustfile`` (a path), ``users``, ``spawn_rate`` (a second), ``directory`` (where it runs),
    ``target`` (the address of users that name none)."""

    name = "locustfile"

    async def open(self, plan: LoadPlan | None, options: Mapping[str, Any], output: Output) -> Executor:
        """See `harness.load.engines.Engine`. The plan's requests are only sent alone, for profiles."""
        given = JsonObject(dict(options), "options")
        team = Team.from_options(given)
        path = given.text("locustfile")
        users, rate = given.integer("users"), given.number("spawn_rate")
        directory, target = given.text_or_none("directory"), given.text_or_none("target")
        given.done()
        if not Path(path).is_file():
            raise ValueError(f"there is no locustfile {path}")
        order = {"users": users, "spawn_rate": rate, "locustfile": path, "weights": (), "seed": 0, "digest": "",
                 "target": target}  # fmt: skip
        return await Swarm.start(order, team, [HERE / "harness_hooks.py", Path(path)], plan, output, directory)


ENGINE = LocustfileEngine()
