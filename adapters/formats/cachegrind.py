"""Being written."""

from pathlib import Path

from harness.model.profile import Profile


def read_cachegrind(path: Path) -> Profile:
    raise ValueError("not yet")
