"""Checks of preflight that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.php import preflight
from adapters.php.options import PhpOptions
from harness.plugins.spec import AdapterContext, CheckLevel


@pytest.mark.parametrize(("tools", "said"), [(("xdebug",), True), ((), False)])
def test_a_missing_compiled_reader_is_told_where_profiles_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...], said: bool
) -> None:
    monkeypatch.setattr(preflight, "why_not", lambda: "it was not compiled")
    checks = preflight.check_php(AdapterContext(tmp_path, "0" * 32, {}, tools), PhpOptions(), ())
    found = [check for check in checks if check.name == "php.reader"]
    assert [check.level for check in found] == ([CheckLevel.WARNING] if said else [])
    assert all("it was not compiled" in check.message and not check.costs for check in found)
