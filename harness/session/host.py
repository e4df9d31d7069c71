"""Facts about this host that belong into every run."""

from __future__ import annotations

import os
import platform


def host_facts() -> dict[str, str | int | None]:
    """Kernel, machine, CPUs, memory in bytes, libc, page size; None where this system does not say."""
    libc_name, libc_version = platform.libc_ver()
    return {
        "node": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "page_size_bytes": os.sysconf("SC_PAGE_SIZE"),
        "libc": f"{libc_name} {libc_version}".strip() or None,
        "harness_python": platform.python_version(),
        "thp": _word("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def _word(path: str) -> str | None:
    """The bracketed choice of a sysfs file; None when the file is not there."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(200)
    except (OSError, ValueError):
        return None
    start, end = text.find("["), text.find("]")
    return text[start + 1 : end] if 0 <= start < end else text.strip() or None
