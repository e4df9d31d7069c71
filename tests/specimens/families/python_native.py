"""Memory outside of Python's allocators: from malloc, and from mmap."""

from __future__ import annotations

from dataclasses import dataclass

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    cause: str
    defect: str
    size: int
    keeps: int
    page: str
    why: str
    server: str = "sync"
    requests: int = 1000
    held_out: bool = False
    quick: bool = False
    seed: int = 1


_MALLOC = "malloc through ctypes, never freed"
_LIBRARY = "a C library of its own, compiled at the start, forgets a copy"
_ZLIB = "deflateInit2 of zlib without deflateEnd"
_OBJECT = "an anonymous private mapping for each request, whose object is kept"
_RAW = "mmap(2) for each request, never unmapped"
_CASES = (
    _Case("py-malloc-sync", "leak.native", "native_buffers", 3000, 3005, "feed", _MALLOC, seed=21),
    _Case("py-library-preload", "leak.native", "native_library", 5000, 5023, "product", _LIBRARY, server="preload", seed=22),
    _Case("py-zlib-uvicorn", "leak.native", "native_zlib", 9, 9078, "export", _ZLIB, server="uvicorn", seed=23),
    _Case("py-mappings-sync", "leak.mmap", "mappings", 65536, 65710, "invoice", _OBJECT, requests=500, quick=True, seed=24),
    _Case("py-mappings-raw-threads", "leak.mmap", "mappings_raw", 16384, 16384, "cart", _RAW, server="threads", seed=25),
    _Case(
        "py-malloc-threads-x", "leak.native", "native_buffers", 1800, 1808, "list", _MALLOC, server="threads", held_out=True,
        seed=121,
    ),
    _Case("py-zlib-sync-x", "leak.native", "native_zlib", 9, 9078, "home", _ZLIB, held_out=True, seed=122),
    _Case("py-mappings-raw-sync-x", "leak.mmap", "mappings_raw", 32768, 32768, "account", _RAW, held_out=True, seed=123),
)  # fmt: skip


def specimens() -> list[Specimen]:
    return [_specimen(case) for case in _CASES]


def _specimen(case: _Case) -> Specimen:
    shop = Shop(
        defects=[{"name": case.defect, "on": [case.page], "size": case.size}],
        server=case.server,
        requests=case.requests,
        weights={case.page: 2},
        seed=case.seed,
    )
    truth = Truth(
        causes=(case.cause,),
        why=f"{case.page} keeps {case.keeps} B per request: {case.why}; server: {case.server}",
        endpoints={case.page: case.keeps},
        place=Place(f"python/defects/{case.defect}.py", "use"),
    )
    return shop.specimen(case.name, "python_native", truth, held_out=case.held_out, quick=case.quick)
