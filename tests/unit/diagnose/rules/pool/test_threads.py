from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, row
from timelines import App, six

from harness.diagnose.rules.pool.threads import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity, Side

MORE = App(threads_per_round=10)
STACKS = {
    "process.smaps.thread_stack.count": (3, 10),
    "process.smaps.thread_stack.rss": (24_000, 80_000),
    "process.smaps.thread_stack.size": (24_000_000, 80_000_000),
    "runtime.python.threads": (3, 10),
    "process.threads": (3, 10),
}
ONE_EACH = six(login={"adds": {"process.threads": 1}})


def test_fires_where_their_number_rises() -> None:
    [found] = findings(RULE, MORE)
    assert found.cause is Cause.THREADS
    assert found.severity is Severity.WARNING
    assert found.confidence is Confidence.MEDIUM  # one counter alone
    assert found.numbers["count_per_round"] == pytest.approx(50)
    assert causes(MORE) == {Cause.THREADS}


def test_stacks_and_the_interpreter_agree() -> None:
    [found] = findings(RULE, App(further=STACKS))
    assert found.confidence is Confidence.HIGH
    assert row(found, "smaps.stacks").side is Side.FOR
    assert "305.2 MiB of addresses" in row(found, "smaps.stacks").text
    assert not against(found)


def test_the_endpoint_that_starts_them_is_named() -> None:
    [found] = findings(RULE, App(endpoints=ONE_EACH))
    assert found.subject.endpoint == "login"
    assert found.confidence is Confidence.HIGH
    assert row(found, "blocks.regression").value == pytest.approx(1, rel=0.05)


def test_what_they_take_of_private_memory_is_no_leak() -> None:
    both = App(further=STACKS, bytes_per_second=100_000)
    [found] = findings(RULE, both)
    assert found.numbers[EXPLAINS] > 0


def test_threads_that_the_interpreter_does_not_know_are_a_librarys() -> None:
    [found] = findings(RULE, replace(MORE, further={"runtime.python.threads": (3, 0)}))
    assert "started by a library" in row(found, "runtime.threads").text


@pytest.mark.parametrize(
    "app",
    [App(), App(further={"process.threads": (3, 0)}), App(threads_per_round=0, steps={3: 4_000_000})],
    ids=["healthy", "as many as before", "memory grows once"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize("app", [replace(MORE, rounds=5)], ids=["too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
