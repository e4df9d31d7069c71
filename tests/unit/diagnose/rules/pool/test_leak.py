from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings
from timelines import App, six

from harness.diagnose.rules.pool.leak import RULE
from harness.model.finding import Cause

GROWS = App(endpoints=six(login={"leak_bytes": 10_240}), with_blocks=False)


def test_fires_where_memory_grows_and_nothing_tells_what_it_is() -> None:
    [found] = findings(RULE, GROWS)
    assert found.cause is Cause.LEAK
    assert found.subject.endpoint == "login"
    assert causes(GROWS) == {Cause.LEAK}


def test_a_kind_that_accounts_for_it_takes_its_place() -> None:
    known = replace(GROWS, endpoints=six(login={"native_bytes": 10_240}), allocators=True, blocks_at_floors=True)
    assert findings(RULE, known)
    assert causes(known) == {Cause.LEAK_NATIVE}


@pytest.mark.parametrize(
    "app",
    [App(with_blocks=False), App(with_blocks=False, steps={3: 30_000_000}),
     App(with_blocks=False, extra=lambda n: 20e6 * (1 - 0.5 ** (n / 150)))],
    ids=["healthy", "one step", "cache that fills"],
)  # fmt: skip
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


def test_without_enough_data_it_says_nothing() -> None:
    assert not findings(RULE, replace(GROWS, rounds=6))
