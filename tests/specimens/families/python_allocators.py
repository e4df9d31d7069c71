"""Free memory that the allocators keep: fragmentation that grows and that stands, and what one large request left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth

_IMPORTS = (
    "every import reads more than the last, and some objects live until the next: they pin arenas of Python's allocator"
)
_TEXTS = "every reading is larger than the last, and some texts live until the next: holes in the C library's heap"
_PINNED = "one large parse of floats in the first request, of which 2000 are kept: each pins its arena"
_HOLES = "the first request builds blocks of 600 to 1100 B, of which every third is kept"
_BURSTS = "bursts in a pool of threads, each of which has an arena of the C library"
_LARGE = "one request builds a very large answer and drops it: the C library keeps the pages"


def specimens() -> list[Specimen]:
    return [
        _fragmentation(
            "py-fragments-growing-pymalloc", "export", {"name": "imports", "size": 400}, _IMPORTS, seed=41, quick=True
        ),
        _fragmentation("py-fragments-growing-glibc", "feed", {"name": "texts", "size": 15}, _TEXTS, seed=42),
        _fragmentation("py-fragments-pinned", "checkout", {"name": "pinned", "size": 2_000_000}, _PINNED, seed=43),
        _fragmentation("py-fragments-holes", "list", {"name": "holes", "size": 60_000}, _HOLES, server="uvicorn", seed=44),
        _fragmentation(
            "py-fragments-threads", "search", {"name": "bursts", "size": 1500, "threads": 8, "share": 0.05}, _BURSTS,
            server="one", seed=45,
        ),
        _retention("py-retention-early", "export", 40_000, 20, seed=51),
        _retention("py-retention-midway", "invoice", 60_000, 250, server="uvicorn", seed=52),
        _fragmentation("py-fragments-growing-glibc-x", "home", {"name": "texts", "size": 20}, _TEXTS, seed=141, held_out=True),
        _fragmentation(
            "py-fragments-pinned-x", "cart", {"name": "pinned", "size": 3_000_000}, _PINNED, server="threads", seed=142,
            held_out=True,
        ),
        _retention("py-retention-x", "feed", 50_000, 100, server="threads", seed=151, held_out=True),
    ]  # fmt: skip


def _fragmentation(
    name: str, page: str, defect: Mapping[str, Any], why: str, *, seed: int, server: str = "sync", quick: bool = False,
    held_out: bool = False,
) -> Specimen:  # fmt: skip
    growing = "growing" in name
    shop = Shop(
        defects=[{"on": [page], **defect}],
        server=server,
        requests=800 if growing else 500,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("fragmentation",),
        why=f"{why}; server: {server}",
        healthy=not growing,
        endpoints={page: None},
        place=Place(f"python/defects/{defect['name']}.py", "use"),
    )
    return shop.specimen(name, "python_allocators", truth, quick=quick, held_out=held_out)


def _retention(
    name: str, page: str, rows: int, after: int, *, seed: int, server: str = "sync", quick: bool = False, held_out: bool = False
) -> Specimen:  # fmt: skip
    shop = Shop(
        defects=[{"name": "big_request", "on": [page], "size": rows, "after": after}],
        server=server,
        requests=500,
        weights={page: 2},
        seed=seed,
    )
    why = f"{_LARGE}; {rows} rows, in request {after} of each worker to {page}; server: {server}"
    truth = Truth(
        causes=("retention",),
        why=why,
        healthy=True,
        endpoints={page: None},
        place=Place("python/defects/big_request.py", "use"),
    )
    return shop.specimen(name, "python_allocators", truth, quick=quick, held_out=held_out)
