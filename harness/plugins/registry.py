"""Find adapters and formats of profile files. The core imports none: it goes through the entry points, built-ins too."""

from __future__ import annotations

from importlib.metadata import entry_points

from harness.errors import HarnessError, UsageError
from harness.plugins.formats import FileFormat
from harness.plugins.spec import LanguageAdapter

GROUP = "harness.adapters"
FORMATS_GROUP = "harness.formats"


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
    found = {entry.value: entry for entry in entry_points(group=FORMATS_GROUP)}
    formats: list[FileFormat] = sorted((entry.load() for entry in found.values()), key=lambda format_: format_.name)
    names = [format_.name for format_ in formats]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HarnessError(f"two packages claim the format {', '.join(twice)}", hint="uninstall one of them")
    return tuple(formats)
