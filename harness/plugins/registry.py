"""Find adapters. The core never imports one: it goes through the entry points, built-ins included."""

from __future__ import annotations

from importlib.metadata import entry_points

from harness.errors import HarnessError, UsageError
from harness.plugins.spec import LanguageAdapter

GROUP = "harness.adapters"


def adapter_names() -> tuple[str, ...]:
    """Names of all installed adapters, sorted."""
    return tuple(sorted({e.name for e in entry_points(group=GROUP)}))


def load_adapter(name: str) -> LanguageAdapter:
    """The adapter for a runtime; UsageError when there is none, HarnessError when two packages claim the name."""
    found = {e.value: e for e in entry_points(group=GROUP, name=name)}
    if not found:
        raise UsageError(
            f"no adapter for runtime {name!r}", hint=f"installed adapters: {', '.join(adapter_names()) or 'none'}"
        )
    if len(found) > 1:
        raise HarnessError(
            f"two adapters claim the runtime {name!r}: {', '.join(sorted(found))}", hint="uninstall one of them"
        )
    adapter: LanguageAdapter = next(iter(found.values())).load()
    return adapter
