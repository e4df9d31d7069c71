"""A directory with everything that a Locust worker on another machine needs to send a scenario's traffic.

It holds our own modules as they are here (standard library only, beside what Locust brings), a locustfile, and the plan without
the values of constants, which may be secrets: a worker takes those from its environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path, PurePosixPath

from harness.load.plan import LoadPlan, check_base_url

LOCUSTFILE, HOOKS, PLAN = "locustfile.py", "harness_hooks.py", "plan.json"
_LOAD = (
    "__init__",
    "cookies",
    "exchange",
    "inspect_body",
    "pipe",
    "plan",
    "plan_json",
    "render",
    "schedule",
    "template",
    "user",
)
_SWARM = ("__init__", "crew", "gevent_client", "member", "wire")
_MODEL = ("__init__", "span")


def write_plan(directory: Path, plan: LoadPlan, base_url: str | None = None) -> None:
    """Write what sends a scenario: ``locust -f DIRECTORY/locustfile.py --worker``.

    ``base_url``: the target as those machines see it. ValueError when that is no address; OSError when it cannot be written.
    """
    data = plan.to_json()
    if base_url is not None:
        check_base_url(base_url)
        data["base_url"] = base_url
    data["variables"] = dict.fromkeys(sorted(plan.variables), "")
    _write_modules(directory)
    (directory / PLAN).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (directory / LOCUSTFILE).write_text(_source(PurePosixPath("load/swarm") / LOCUSTFILE), encoding="utf-8")


def write_hooks(directory: Path) -> None:
    """Write what watches somebody's own locustfile: ``locust -f DIRECTORY/harness_hooks.py,theirs.py --worker``.

    Raises OSError.
    """
    _write_modules(directory)
    (directory / HOOKS).write_text(_source(PurePosixPath("load/swarm") / HOOKS), encoding="utf-8")


def _write_modules(directory: Path) -> None:
    for module in _modules():
        path = directory / "harness" / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_source(module), encoding="utf-8")


def _modules() -> Iterator[PurePosixPath]:
    yield PurePosixPath("__init__.py")
    for package, names in (("load", _LOAD), ("load/swarm", _SWARM), ("model", _MODEL)):
        for name in names:
            yield PurePosixPath(package) / f"{name}.py"


def _source(module: PurePosixPath) -> str:
    return files("harness").joinpath(*module.parts).read_text(encoding="utf-8")
