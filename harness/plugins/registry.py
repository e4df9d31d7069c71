"""Find adapters, formats of profile files, exporters. The core imports none: it goes through entry points, built-ins too."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, UsageError
from harness.plugins.formats import FileFormat
from harness.plugins.spec import LanguageAdapter

if TYPE_CHECKING:
    from harness.plugins.exports import ProfileExport, RunExport

GROUP = "harness.adapters"
FORMATS_GROUP = "harness.formats"
EXPORTS_GROUP = "harness.exports"
PROFILE_EXPORTS_GROUP = "harness.profile_exports"


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


def load_formats() -> tuple[FileFormat, ...]:
    """All installed formats by name; HarnessError when two packages claim one."""
    return tuple(_load(FORMATS_GROUP, "format"))


def load_run_exports() -> tuple[RunExport, ...]:
    """All installed exporters of whole runs by name; HarnessError when two packages claim one."""
    return tuple(_load(EXPORTS_GROUP, "export format"))


def load_profile_exports() -> tuple[ProfileExport, ...]:
    """All installed exporters of profiles by name; HarnessError when two packages claim one."""
    return tuple(_load(PROFILE_EXPORTS_GROUP, "export format"))


def _load(group: str, what: str) -> list[Any]:
    """What the entry points of a group name, which all have a ``name``, sorted by it."""
    found = {entry.value: entry for entry in entry_points(group=group)}
    loaded: list[Any] = sorted((entry.load() for entry in found.values()), key=lambda each: each.name)
    names = [each.name for each in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HarnessError(f"two packages claim the {what} {', '.join(twice)}", hint="uninstall one of them")
    return loaded
