"""Which runtime is a program? Every installed adapter is asked."""

from __future__ import annotations


def recognise(comm: str, cmdline: str, exe: str) -> str | None:
    """The name of the adapter that knows the program; None when none does."""
    from harness.plugins.registry import adapter_names, load_adapter

    adapters = map(load_adapter, adapter_names())
    return next((adapter.name for adapter in adapters if adapter.recognises(comm, cmdline, exe)), None)
