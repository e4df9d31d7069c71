"""Scenarios of the Python application (`apps/python`): servers, traffic, settings."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specimens.model import Group, Specimen, Truth

PAGES = ("home", "list", "product", "search", "cart", "checkout", "account", "invoice", "feed", "export")
UVICORN = ("uvicorn>=0.30,<1",)

_SERVERS = {
    "sync": "gunicorn wsgi:application -w 2 -b 127.0.0.1:@PORT@",
    "threads": "gunicorn wsgi:application -w 2 --threads 4 -b 127.0.0.1:@PORT@",
    "preload": "gunicorn wsgi:application -w 2 --preload -b 127.0.0.1:@PORT@",
    "one": "gunicorn wsgi:application -w 1 -b 127.0.0.1:@PORT@",
    "uvicorn": "uvicorn asgi:application --port @PORT@ --log-level warning",
}
_QUIET = " --log-level error --no-control-socket"


@dataclass(frozen=True, slots=True)
class Shop:
    """The application as a specimen runs it. ``defects``: as in `apps/python/shop/settings.py`; ``options``: appended to the
    server's command line; ``seed``: of the shares and the order of the pages."""

    defects: Sequence[Mapping[str, Any]] = ()
    server: str = "sync"
    options: str = ""
    rounds: int = 8
    requests: int = 1000
    blocks: int = 5
    concurrency: int = 4
    warmup_rounds: int = 2
    weights: Mapping[str, int] = field(default_factory=dict)
    gc: str = "on"
    seed: int = 1

    def specimen(
        self, name: str, family: str, truth: Truth, *, held_out: bool = False, quick: bool = False
    ) -> Specimen:
        """With this name and truth."""
        return Specimen(
            name=name,
            family=family,
            runtime="python",
            group=Group.HELD_OUT if held_out else Group.DEVELOPMENT,
            quick=quick,
            scenario=self._scenario(),
            files={"specimen.json": json.dumps({"defects": list(self.defects), "gc": self.gc}, indent=1) + "\n"},
            truth=truth,
            sources=self._sources(),
            packages=UVICORN if self.server == "uvicorn" else (),
            programs=("cc",) if any(d["name"] == "native_library" for d in self.defects) else (),
            seed=self.seed,
        )

    def _scenario(self) -> dict[str, Any]:
        command = _SERVERS[self.server] + self.options
        target = {
            "runtime": "python",
            "cwd": "@APPS@/python",
            "launch": command + (_QUIET if command.startswith("gunicorn") else ""),
            "ready": "tcp://127.0.0.1:@PORT@",
            "env": {"SPECIMEN": "@HERE@/specimen.json", "PYTHONDONTWRITEBYTECODE": "1"},
        }
        load = {
            "rounds": self.rounds,
            "requests_per_round": self.requests,
            "concurrency": self.concurrency,
            "warmup_rounds": self.warmup_rounds,
            "blocks": self.blocks,
            "seed": self.seed,
        }
        return {"target": target, "requests": self._requests(), "load": load, "profile": "auto"}

    def _requests(self) -> list[dict[str, Any]]:
        dice = random.Random(self.seed)
        pages = list(PAGES)
        dice.shuffle(pages)
        weights = {page: self.weights.get(page, dice.choice((1, 1, 2))) for page in pages}
        return [{"name": page, "get": f"/{page}", "weight": weights[page]} for page in pages]

    def _sources(self) -> list[str]:
        return sources(self.defects, "wsgi.py" if self.server != "uvicorn" else "asgi.py")


def sources(defects: Sequence[Mapping[str, Any]], *entries: str) -> list[str]:
    """What the application consists of, below ``apps/``."""
    modules = [f"python/defects/{d['name']}.py" for d in defects]
    return ["python/shop", "python/defects/__init__.py", *(f"python/{entry}" for entry in entries), *modules]
