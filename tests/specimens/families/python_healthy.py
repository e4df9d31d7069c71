"""Nothing that has to be repaired, but much that looks like it; and leaks that are hard to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth

_WARM = ("healthy", "warmup")
_UNDECIDED = ("warmup", "inconclusive", "healthy")


def specimens() -> list[Specimen]:
    return [
        _healthy("py-constant-sync", (), "ten pages that keep nothing", seed=81, quick=True),
        _healthy("py-constant-uvicorn", (), "ten pages that keep nothing", server="uvicorn", seed=82),
        _healthy(
            "py-lru-fills", [{"name": "lru", "on": ["product"], "size": 4000, "bound": 3000, "keys": 90}],
            "a bounded cache whose keys have all been asked for after the warm-up", causes=_WARM, seed=83,
        ),
        _healthy(
            "py-lru-full", [{"name": "lru", "on": ["search"], "size": 6000, "bound": 80}],
            "a bounded cache that is full after the warm-up, and replaces an entry in each request", causes=_WARM, seed=84,
        ),
        _healthy(
            "py-patterns", [{"name": "patterns", "on": ["list"], "size": 12}],
            "compiled patterns: the module re keeps 512 of them and throws away the oldest", causes=_WARM, seed=86,
        ),
        _healthy(
            "py-static-heap", [{"name": "cycles", "on": ["cart"], "size": 4, "heap": 600_000}],
            "a large heap that lives for ever, and so little garbage that it does not matter",
            causes=("healthy", "warmup", "inconclusive", "gc-delay"), seed=87,
        ),
        _healthy(
            "py-cold-start", [{"name": "cold_start", "on": ["home"], "size": 150}],
            "the first 150 requests to a page load a table each", causes=_UNDECIDED, seed=88,
        ),
        _healthy(
            "py-rebuild", [{"name": "rebuild", "on": ["feed"], "size": 60_000, "after": 240}],
            "a table is built anew once, in the middle, with four times as much in it",
            causes=("healthy", "warmup", "inconclusive"), seed=89,
        ),
        _healthy(
            "py-restart", [{"name": "reload", "on": ["invoice"], "size": 250, "directory": "@HERE@"}],
            "all workers are replaced in the middle, as a deployment does (SIGHUP)", causes=("healthy", "inconclusive"), seed=90,
        ),
        _healthy("py-constant-threads-x", (), "ten pages that keep nothing", server="threads", seed=181, held_out=True),
        _healthy("py-constant-preload-x", (), "ten pages that keep nothing", server="preload", seed=182, held_out=True),
        _healthy(
            "py-lru-full-x", [{"name": "lru", "on": ["account"], "size": 9000, "bound": 60}],
            "a bounded cache that is full after the warm-up", causes=_WARM, server="threads", seed=183, held_out=True,
        ),
        _healthy(
            "py-rebuild-x", [{"name": "rebuild", "on": ["home"], "size": 40_000, "after": 450}],
            "a table is built anew once, in the middle", causes=("healthy", "warmup", "inconclusive"), server="uvicorn",
            seed=189, held_out=True,
        ),
        _filling("py-lru-filling", "checkout", seed=85),
        _filling("py-lru-filling-x", "export", seed=185, held_out=True),
        _below_mdl("py-below-mdl", "account", seed=91),
        _recycled("py-max-requests", "search", seed=92),
        _by_time("py-by-time", "home", 6000, seed=93),
        _by_time("py-by-time-x", "list", 9000, server="uvicorn", seed=193, held_out=True),
    ]  # fmt: skip


def _healthy(
    name: str, defects: Sequence[Mapping[str, Any]], why: str, *, seed: int, causes: tuple[str, ...] = ("healthy",),
    server: str = "sync", quick: bool = False, held_out: bool = False,
) -> Specimen:  # fmt: skip
    shop = Shop(
        defects=defects,
        server=server,
        requests=600,
        weights={d["on"][0]: 2 for d in defects},
        warmup_rounds=3,
        seed=seed,
    )
    return shop.specimen(
        name,
        "python_healthy",
        Truth(causes=causes, why=f"{why}; server: {server}", healthy=True),
        quick=quick,
        held_out=held_out,
    )


def _filling(name: str, page: str, *, seed: int, held_out: bool = False) -> Specimen:
    """Visitors ask for fewer and fewer things that nobody has asked for: a page has so many products."""
    shop = Shop(
        defects=[{"name": "popular", "on": [page], "size": 20_000, "keys": 350}],
        requests=800,
        weights={page: 3},
        seed=seed,
    )
    truth = Truth(
        causes=("warmup", "inconclusive", "healthy"),
        why=f"a cache of what {page} shows still fills, ever more slowly: 350 things are asked for at random",
        healthy=True,
    )
    return shop.specimen(name, "python_healthy", truth, held_out=held_out)


def _below_mdl(name: str, page: str, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "labels", "on": [page], "size": 60, "share": 0.1}], requests=500, weights={page: 1}, seed=seed
    )
    truth = Truth(
        causes=("leak.objects",),
        why=f"every tenth request to {page} keeps a text of 100 B: less than such a run can see",
        endpoints={page: 16},
        below_mdl=True,
    )
    return shop.specimen(name, "python_healthy", truth)


def _recycled(name: str, page: str, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "sessions", "on": [page], "size": 20}],
        options=" --max-requests 700 --max-requests-jitter 100",
        requests=600,
        weights={page: 3},
        seed=seed,
    )
    truth = Truth(
        causes=("leak.objects", "leak", "inconclusive"),
        why=f"{page} keeps 5556 B per request, and gunicorn replaces a worker after 700 requests, which hides it",
        endpoints={page: 5556},
        place=Place("python/defects/sessions.py", "use"),
    )
    return shop.specimen(name, "python_healthy", truth)


def _by_time(name: str, page: str, size: int, *, seed: int, server: str = "sync", held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "ticker", "on": [page], "size": size}],
        server=server,
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("leak.objects", "leak"),
        why=f"a thread keeps {size} B twenty times a second, whoever visits; server: {server}",
        also=("threads",),
    )
    return shop.specimen(name, "python_healthy", truth, held_out=held_out)
