"""Threads, descriptors, and what the kernel keeps for the application: files that were written, names that are not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from specimens.families._python import Shop
from specimens.model import Place, Specimen, Truth


def specimens() -> list[Specimen]:
    return [
        _threads("py-threads", "checkout", 17_812, "sync", seed=71),
        _descriptors("py-descriptors", "account", 2, "sync", seed=72),
        _sockets("py-socket-queues", "feed", 20_000, seed=73),
        _log("py-page-cache", "export", 65_536, seed=74),
        _dentries("py-negative-dentries", "product", 100, seed=75),
        _pressure("py-pressure", "search", 300, 110, seed=76),
        _threads("py-threads-uvicorn-x", "cart", 17_812, "uvicorn", seed=171, held_out=True),
        _descriptors("py-descriptors-threads-x", "home", 1, "threads", seed=172, held_out=True),
        _dentries("py-negative-dentries-x", "search", 150, seed=175, held_out=True),
    ]


def _threads(
    name: str, page: str, keeps: int, server: str, *, seed: int, quick: bool = False, held_out: bool = False
) -> Specimen:
    shop = Shop(
        defects=[{"name": "watchers", "on": [page], "share": 0.2}],
        server=server,
        requests=500,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("threads",),
        why=f"every fifth request to {page} starts a thread that waits for ever; server: {server}",
        also=("leak.objects", "leak.native", "leak.mmap"),
        endpoints={page: keeps // 5},
        place=Place("python/defects/watchers.py", "use"),
    )
    return shop.specimen(name, "python_kernel", truth, quick=quick, held_out=held_out)


def _descriptors(name: str, page: str, files: int, server: str, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "open_files", "on": [page], "size": files}],
        server=server,
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("descriptors",),
        why=f"{page} opens {files} file(s) and never closes them; server: {server}",
        also=("leak.objects", "kernel.slab"),
        endpoints={page: None},
        place=Place("python/defects/open_files.py", "use"),
    )
    return shop.specimen(name, "python_kernel", truth, held_out=held_out)


def _sockets(name: str, page: str, size: int, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "socket_queues", "on": [page], "size": size}], requests=600, weights={page: 2}, seed=seed
    )
    truth = Truth(
        causes=("descriptors", "kernel.slab"),
        why=f"{page} leaves {size} B waiting in a socket that nobody reads: the kernel's memory, and two descriptors",
        also=("kernel.slab", "descriptors", "leak.objects"),
        endpoints={page: None},
        place=Place("python/defects/socket_queues.py", "use"),
    )
    return shop.specimen(name, "python_kernel", truth)


def _log(name: str, page: str, size: int, *, seed: int) -> Specimen:
    shop = Shop(
        defects=[{"name": "event_log", "on": [page], "size": size, "directory": "@HERE@"}],
        requests=600,
        weights={page: 2},
        seed=seed,
    )
    truth = Truth(
        causes=("page-cache", "healthy"),
        why=f"{page} appends {size} B to a file: the kernel's cache grows, which it gives back when memory is needed",
        healthy=True,
        endpoints={page: None},
    )
    return shop.specimen(name, "python_kernel", truth)


def _dentries(name: str, page: str, names: int, *, seed: int, held_out: bool = False) -> Specimen:
    shop = Shop(
        defects=[{"name": "missing_files", "on": [page], "size": names, "directory": "@HERE@"}],
        requests=600,
        weights={page: 3},
        seed=seed,
    )
    truth = Truth(
        causes=("kernel.slab",),
        why=f"{page} asks for {names} files that are not there, under new names: negative dentries",
        healthy=True,
        endpoints={page: None},
    )
    return shop.specimen(name, "python_kernel", truth, held_out=held_out)


def _pressure(name: str, page: str, file_mib: int, limit_mib: int, *, seed: int) -> Specimen:
    """The tool makes a group for the target; what is launched sets its limit."""
    shop = Shop(
        defects=[{"name": "working_set", "on": [page], "size": file_mib << 20, "directory": "@HERE@"}],
        server="preload",
        requests=400,
        weights={page: 4},
        seed=seed,
    )
    truth = Truth(
        causes=("kernel.pressure",),
        why=f"{page} reads here and there in a file of {file_mib} MiB, in a memory cgroup that may have {limit_mib} MiB",
        healthy=True,
        also=("mapped-files", "page-cache"),
        endpoints={page: None},
    )
    specimen = shop.specimen(name, "python_kernel", truth)
    scenario: dict[str, Any] = dict(specimen.scenario)
    launch = f"python3 limited.py {name} {limit_mib << 20} {scenario['target']['launch']}"
    scenario["target"] = {**scenario["target"], "launch": launch}
    scenario["guard"] = {"psi_some": None}
    return replace(specimen, scenario=scenario, sources=[*specimen.sources, "python/limited.py"], root=True)
