"""Two things at once, and work that does not come as requests."""

from __future__ import annotations

import json
from typing import Any

from specimens.families._python import PAGES, Shop, sources
from specimens.model import Group, Place, Specimen, Truth

_JOBS = 2000  # of a round


def specimens() -> list[Specimen]:
    return [
        _leak_and_fragmentation("py-leak-and-fragments", seed=201),
        _leak_and_log("py-leak-and-log", seed=202),
        _two("py-two-leaks", {"checkout": (20, 5556), "feed": (30, 8200)}, "sync", seed=203),
        _two("py-two-leaks-x", {"home": (30, 8200), "cart": (8, 2325)}, "threads", seed=303, held_out=True),
        _queue("py-queue-objects", "invoice", "documents", 6000, 6130, seed=204),
        _queue("py-queue-native-x", "product", "native_buffers", 7000, 7020, seed=304, held_out=True),
        _queue_healthy("py-queue-healthy", seed=205),
    ]


def _leak_and_fragmentation(name: str, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[
            {"name": "sessions", "on": ["search"], "size": 30},
            {"name": "imports", "on": ["export"], "size": 400},
        ],
        weights={"search": 2, "export": 1},
        requests=800,
        seed=seed,
    )
    truth = Truth(
        causes=("leak.objects", "fragmentation"),
        why="search keeps 8200 B per request, and imports in export pin more and more arenas",
        also=("fragmentation", "leak.objects"),
        endpoints={"search": 8200, "export": None},
        place=Place("python/defects/sessions.py", "use"),
    )
    return shop.specimen(name, "python_mixed", truth)


def _leak_and_log(name: str, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[
            {"name": "audit", "on": ["account"], "size": 20},
            {"name": "event_log", "on": ["list"], "size": 65_536, "directory": "@HERE@"},
        ],
        weights={"account": 2, "list": 2},
        seed=seed,
    )
    truth = Truth(
        causes=("leak.objects",),
        why="account keeps 4737 B per request, and list appends 64 KiB to a file",
        also=("page-cache",),
        endpoints={"account": 4737},
        place=Place("python/defects/audit.py", "use"),
    )
    return shop.specimen(name, "python_mixed", truth)


def _two(name: str, leaks: dict[str, tuple[int, int]], server: str, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "sessions", "on": [page], "size": size} for page, (size, _) in leaks.items()],
        server=server,
        weights=dict.fromkeys(leaks, 2),
        seed=seed,
    )
    truth = Truth(
        causes=("leak.objects",),
        why=f"{' and '.join(leaks)} keep sessions; server: {server}",
        endpoints={page: keeps for page, (_, keeps) in leaks.items()},
        place=Place("python/defects/sessions.py", "use"),
    )
    return shop.specimen(name, "python_mixed", truth, held_out=held_out)


def _queue(name: str, kind: str, defect: str, size: int, keeps: int, *, seed: int, held_out: bool = False) -> Specimen:
    native = defect.startswith("native")
    truth = Truth(
        causes=("leak.native" if native else "leak.objects",),
        why=f"a queue worker whose every tenth job, {kind}, keeps {keeps} B: {defect}; {_JOBS} jobs a round",
        endpoints={"each_round": keeps * _JOBS // len(PAGES), f"worker:{kind}": keeps},
        place=None if native else Place(f"python/defects/{defect}.py", "use"),
    )
    return _worker(name, [{"name": defect, "on": [kind], "size": size}], truth, seed, held_out)


def _queue_healthy(name: str, *, seed: int) -> Specimen:
    truth = Truth(causes=("healthy", "warmup"), why="a queue worker that keeps nothing", healthy=True)
    return _worker(name, [], truth, seed, held_out=False)


def _worker(name: str, defects: list[dict[str, Any]], truth: Truth, seed: int, held_out: bool) -> Specimen:
    scenario = {
        "target": {
            "runtime": "python",
            "cwd": "@APPS@/python",
            "launch": "python3 worker.py @PORT@",
            "ready": "tcp://127.0.0.1:@PORT@",
            "env": {"SPECIMEN": "@HERE@/specimen.json", "PYTHONDONTWRITEBYTECODE": "1"},
            "python": {"jobs": [f"worker:{kind}" for kind in PAGES]},
        },
        "load": {
            "rounds": 8,
            "warmup_rounds": 2,
            "each_round": f"python3 enqueue.py @PORT@ {_JOBS} {' '.join(PAGES)}",
        },
        "profile": "auto",
    }
    return Specimen(
        name=name,
        family="python_mixed",
        runtime="python",
        group=Group.HELD_OUT if held_out else Group.DEVELOPMENT,
        scenario=scenario,
        files={"specimen.json": json.dumps({"defects": defects}, indent=1) + "\n"},
        truth=truth,
        sources=sources(defects, "worker.py", "enqueue.py"),
        seed=seed,
    )
