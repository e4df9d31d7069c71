"""Garbage in cycles: the collector is off, or full collections are rare because a lot lives for ever."""

from __future__ import annotations

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth


def specimens() -> list[Specimen]:
    return [
        _off("py-cycles-off", "search", 12, "sync", seed=31),
        _rare("py-cycles-rare", "feed", 100, 900_000, "sync", seed=32),
        _off("py-cycles-off-threads-x", "home", 20, "threads", seed=131, held_out=True),
        _rare("py-cycles-rare-one-x", "checkout", 70, 1_200_000, "one", seed=132, held_out=True),
    ]


def _off(
    name: str, page: str, nodes: int, server: str, *, seed: int, quick: bool = False, held_out: bool = False
) -> Specimen:
    shop = Shop(
        defects=[{"name": "cycles", "on": [page], "size": nodes}],
        server=server,
        weights={page: 2},
        gc="off",
        seed=seed,
    )
    why = f"gc.disable() at the start, and {page} makes a tree of {nodes} nodes with parents; server: {server}"
    return shop.specimen(name, "python_garbage", _truth(page, why), quick=quick, held_out=held_out)


def _rare(name: str, page: str, nodes: int, heap: int, server: str, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "cycles", "on": [page], "size": nodes, "heap": heap, "recent": 100}],
        server=server,
        weights={page: 2},
        seed=seed,
    )
    why = (
        f"the last 100 trees of {nodes} nodes with parents are kept, behind {heap} containers that live for ever: a full "
        f"collection waits until a quarter as many have got old; server: {server}"
    )
    return shop.specimen(name, "python_garbage", _truth(page, why), held_out=held_out)


def _truth(page: str, why: str) -> Truth:
    return Truth(causes=("gc-delay",), why=why, endpoints={page: None}, place=Place("python/defects/cycles.py", "use"))
