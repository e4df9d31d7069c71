"""Memory that processes share: copies of what was loaded before the fork, mapped files, shared memory, huge pages."""

from __future__ import annotations

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth


def specimens() -> list[Specimen]:
    return [
        _unsharing("py-cow", "product", 350, seed=61),
        _tiles("py-mapped-tiles", "search", 65536, seed=62),
        _index("py-mapped-index", "list", 49152, seed=63),
        _blocks("py-shared-blocks", "feed", 49152, seed=64),
        _table("py-shared-table", "cart", 32768, seed=65),
        _huge("py-huge-pages", "home", seed=66),
        _unsharing("py-cow-x", "checkout", 500, seed=161, held_out=True),
        _index("py-mapped-index-x", "export", 81920, seed=163, held_out=True),
        _table("py-shared-table-x", "account", 65536, seed=165, held_out=True),
    ]


def _unsharing(name: str, page: str, entries: int, *, seed: int, held_out: bool = False) -> Specimen:
    """The catalogue is so large that it is not read to its end."""
    shop = Shop(
        defects=[{"name": "catalogue", "on": [page], "size": entries, "entries": 1200 * entries}],
        server="preload",
        weights={page: 2},
        gc="frozen",
        seed=seed,
    )
    why = (
        f"{page} reads {entries} entries of a catalogue that was loaded before the fork (and gc.freeze), and so changes their "
        "reference counts"
    )
    truth = Truth(causes=("cow-unsharing",), why=why, endpoints={page: None})
    return shop.specimen(name, "python_sharing", truth, held_out=held_out)


def _tiles(name: str, page: str, size: int, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "tiles", "on": [page], "size": size, "directory": "@HERE@"}],
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("mapped-files",),
        why=f"{page} maps {size} B of a file, reads them, and keeps the mapping (which has a descriptor of its own)",
        also=("descriptors", "leak.objects"),
        endpoints={page: size},
        place=Place("python/defects/tiles.py", "use"),
    )
    return shop.specimen(name, "python_sharing", truth)


def _index(name: str, page: str, size: int, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "index_file", "on": [page], "size": size, "directory": "@HERE@"}],
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("mapped-files",),
        why=f"{page} reads {size} B further into a file that is mapped as a whole",
        endpoints={page: size},
        place=Place("python/defects/index_file.py", "use"),
    )
    return shop.specimen(name, "python_sharing", truth, held_out=held_out)


def _blocks(name: str, page: str, size: int, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "shared_blocks", "on": [page], "size": size}], requests=600, weights={page: 2}, seed=seed
    )
    truth = Truth(
        causes=("shared-memory",),
        why=f"{page} makes a block of {size} B with multiprocessing.shared_memory, and never unlinks it (it has a descriptor)",
        also=("descriptors", "leak.objects"),
        endpoints={page: size},
        place=Place("python/defects/shared_blocks.py", "use"),
    )
    return shop.specimen(name, "python_sharing", truth)


def _table(name: str, page: str, size: int, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "shared_table", "on": [page], "size": size}],
        server="preload",
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("shared-memory",),
        why=f"{page} writes {size} B further into an anonymous shared mapping made before the fork",
        endpoints={page: size},
        place=Place("python/defects/shared_table.py", "use"),
    )
    return shop.specimen(name, "python_sharing", truth, held_out=held_out)


def _huge(name: str, page: str, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "sparse_table", "on": [page], "size": 1, "share": 0.2}],
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("thp",),
        why=f"every fifth request to {page} touches one byte in 2 MiB that nobody has touched, in a mapping with MADV_HUGEPAGE",
        also=("leak.mmap",),
        endpoints={page: 2 * 1024 * 1024 // 5},
        place=Place("python/defects/sparse_table.py", "use"),
    )
    return shop.specimen(name, "python_sharing", truth)
