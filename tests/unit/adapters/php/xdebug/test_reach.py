"""Whether requests can be profiled at all."""

from __future__ import annotations

from pathlib import Path

from adapters.php.adapter import ADAPTER
from adapters.php.state import Places, State, write_state
from adapters.php.xdebug.tools import TOOLS
from harness.plugins.spec import AdapterContext, CheckLevel


def test_nobody_named_or_started_an_xdebug(tmp_path: Path) -> None:
    context = AdapterContext(tmp_path, "0" * 32, {}, tuple(TOOLS))
    checks = {ADAPTER.out_of_reach(context, tool) for tool in TOOLS}
    assert len(checks) == 1, "one reason, whatever the tool"
    (check,) = checks
    assert check is not None
    assert (check.name, check.level) == ("php.xdebug", CheckLevel.WARNING)
    assert "name it in target.php.xdebug" in check.advice
    assert check.costs
    assert ADAPTER.out_of_reach(context, "blackfire") is None


def test_a_deployment_or_a_server_of_this_run_has_them(tmp_path: Path) -> None:
    named = {"xdebug": {"secret": "0" * 32, "output_dir": str(tmp_path)}}
    context = AdapterContext(tmp_path, "0" * 32, named, tuple(TOOLS))
    assert {ADAPTER.out_of_reach(context, tool) for tool in TOOLS} == {None}
    one, *others = TOOLS
    places = Places(tmp_path)
    places.root.mkdir()
    write_state(places, State(tools=(one,)))
    context = AdapterContext(tmp_path, "0" * 32, {}, tuple(TOOLS))
    assert ADAPTER.out_of_reach(context, one) is None
    assert all(ADAPTER.out_of_reach(context, other) for other in others)
