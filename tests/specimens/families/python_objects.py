"""Python objects that are kept: by a dict, a list, closures, exceptions, a cache without a bound; on all servers.

``keeps``: bytes of private memory that one call adds to a process that does nothing else, measured over 8000 calls on CPython
3.11 (`python tests/specimens measure`).
"""

from __future__ import annotations

from dataclasses import dataclass

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth


@dataclass(frozen=True, slots=True)
class _Case:
    """``share``: of the requests to the page that keep something; ``weight``: of the page."""

    name: str
    defect: str
    size: int
    keeps: int
    page: str
    why: str
    server: str = "sync"
    requests: int = 1000
    weight: int = 2
    share: float = 1.0
    below_mdl: bool = False
    held_out: bool = False
    quick: bool = False
    function: str = "use"
    seed: int = 1


_PRICES = "lru_cache without a bound"
_CASES = (
    _Case("py-sessions-sync", "sessions", 8, 2325, "checkout", "sessions in a dict, by a key of their own"),
    _Case("py-sessions-threads", "sessions", 20, 5556, "search", "sessions in a dict", server="threads", seed=2),
    _Case("py-audit-sync", "audit", 6, 1445, "account", "small objects appended to a list", seed=3),
    _Case("py-audit-preload", "audit", 12, 2858, "feed", "small objects appended to a list", server="preload", seed=4),
    _Case("py-callbacks-uvicorn", "callbacks", 60, 2783, "invoice", "closures in a list of listeners", server="uvicorn", seed=5),
    _Case("py-documents-sync", "documents", 20480, 20641, "export", "texts of 20 KiB kept by number", weight=1, seed=6),
    _Case(
        "py-labels-slow", "labels", 160, 254, "home", "a text of 200 B in a list", weight=9, below_mdl=True, seed=7
    ),
    _Case(
        "py-errors-rare", "errors", 1500, 270295, "cart", "one request in 100 keeps an exception and its frames",
        weight=6, share=0.01, seed=8,
    ),
    _Case("py-prices-threads", "prices", 120, 5056, "product", _PRICES, server="threads", function="price_list", seed=9),
    _Case("py-loggers-sync", "loggers", 3, 2582, "list", "a logger with a new name each time", seed=10),
    _Case("py-tasks-uvicorn", "tasks", 40, 2640, "checkout", "asyncio tasks that never end", server="uvicorn", seed=11),
    # held out
    _Case("py-sessions-preload-x", "sessions", 30, 8200, "feed", "sessions in a dict", server="preload", held_out=True, seed=101),
    _Case("py-audit-uvicorn-x", "audit", 20, 4737, "home", "small objects in a list", server="uvicorn", held_out=True, seed=102),
    _Case("py-callbacks-sync-x", "callbacks", 30, 1552, "search", "closures in a list", weight=3, held_out=True, seed=103),
    _Case("py-documents-threads-x", "documents", 9000, 9131, "list", "texts of 9 kB", server="threads", held_out=True, seed=104),
    _Case("py-prices-sync-x", "prices", 260, 10672, "cart", _PRICES, function="price_list", held_out=True, seed=105),
)  # fmt: skip


def specimens() -> list[Specimen]:
    return [_specimen(case) for case in _CASES]


def _specimen(case: _Case) -> Specimen:
    shop = Shop(
        defects=[{"name": case.defect, "on": [case.page], "size": case.size, "share": case.share}],
        server=case.server,
        requests=case.requests,
        weights={case.page: case.weight},
        seed=case.seed,
    )
    keeps = round(case.keeps * case.share)
    truth = Truth(
        causes=("leak.objects",),
        why=f"{case.page} keeps {keeps} B per request: {case.why}; server: {case.server}",
        endpoints={case.page: keeps},
        place=Place(f"python/defects/{case.defect}.py", case.function),
        below_mdl=case.below_mdl,
    )
    return shop.specimen(case.name, "python_objects", truth, held_out=case.held_out, quick=case.quick)
