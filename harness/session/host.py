"""Facts about this host that belong into every run."""

from __future__ import annotations

import os
import platform


def host_facts() -> dict[str, str | int | None]:
    """Kernel, machine, CPUs and their model, memory in bytes, libc, page size; None where this system does not say."""
    libc_name, libc_version = platform.libc_ver()
    return {
        "node": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cpu_model": _cpu_model("/proc/cpuinfo"),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "page_size_bytes": os.sysconf("SC_PAGE_SIZE"),
        "libc": f"{libc_name} {libc_version}".strip() or None,
        "harness_python": platform.python_version(),
        "thp": _word("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def _cpu_model(path: str) -> str | None:
    """What the kernel calls the first processor; None where it gives it no name, as on most ARM machines."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(4096).splitlines()
    except OSError:
        return None
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, "")[:100] or None


def _word(path: str) -> str | None:
    """The bracketed choice of a sysfs file; None when the file is not there."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(200)
    except (OSError, ValueError):
        return None
    start, end = text.find("["), text.find("]")
    return text[start + 1 : end] if 0 <= start < end else text.strip() or None
