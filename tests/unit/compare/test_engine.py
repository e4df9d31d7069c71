"""Two sides: answers, what decides, what is refused."""

from __future__ import annotations

import pytest
from compared import ALIKE, facts, finding, kept, latency, level, simulated

from harness.compare.engine import compare
from harness.compare.model import Answer, Change, Method, Outcome, Weight
from harness.compare.thresholds import Threshold
from harness.errors import UsageError
from harness.model.finding import Cause
from harness.model.measure import Measure, Unit

MIB = 1024 * 1024


def run(bytes_kept: float = 0.0, size: float = 100 * MIB, **changes: object):
    return facts(kept(bytes_kept), level(size), level(size * 1.05, "peak_pss"), **changes)


def test_the_same_passes() -> None:
    found = compare([run()], [run()])
    assert found.outcome is Outcome.PASS
    assert {row.answer for row in found.rows} == {Answer.SAME}
    assert found.summary == "Nothing got worse by what matters."


def test_a_leak_fails_and_is_named() -> None:
    found = compare([run()], [run(2000)])
    assert found.outcome is Outcome.FAIL
    row = found.row("retained_bytes_per_request", pool="app")
    assert row is not None
    assert (row.answer, row.weight, row.method) == (Answer.WORSE, Weight.MUST, Method.WITHIN)
    assert row.low is not None
    assert 1900 < row.low < 2000
    assert found.rows[0] is row
    assert "kept per request of app +2.0 KiB" in found.summary


def test_a_repaired_leak_passes_as_better() -> None:
    found = compare([run(2000)], [run()])
    assert found.outcome is Outcome.PASS
    assert found.counts[Answer.BETTER] == 1
    assert "got better" in found.summary


def test_tiny_but_certain_is_the_same_and_said_so() -> None:
    found = compare([facts(kept(0, 1))], [facts(kept(50, 1))])
    row = found.row("retained_bytes_per_request", pool="app")
    assert row is not None
    assert (row.answer, row.tiny) == (Answer.SAME, True)


def test_what_cannot_be_told_is_no_pass_and_says_what_it_needs() -> None:
    found = compare([run()], [facts(kept(100, 1000), level(100 * MIB), level(105 * MIB, "peak_pss"))])
    assert found.outcome is Outcome.UNKNOWN
    row = found.row("retained_bytes_per_request", pool="app")
    assert row is not None
    assert row.answer is Answer.UNKNOWN
    assert row.rounds_needed is not None
    assert row.rounds_needed > 8
    assert f"about {row.rounds_needed} rounds" in found.summary


def test_certainly_not_worse_is_enough() -> None:
    """Whether 600 bytes less are certain is open, that it is not more is not."""
    found = compare([facts(kept(600, 500))], [facts(kept(0, 500))])
    row = found.row("retained_bytes_per_request", pool="app")
    assert row is not None
    assert row.answer is Answer.UNKNOWN
    assert found.outcome is Outcome.PASS


def test_what_must_be_known_and_is_not_measured_fails_closed() -> None:
    nothing = Measure("retained_bytes_per_request", Unit.BYTES, None, pool="app", reason="no worker lived through")
    found = compare([facts(nothing)], [facts(nothing)])
    assert found.outcome is Outcome.UNKNOWN
    assert found.rows[0].reason == "in base no worker lived through"
    assert compare([facts()], [facts()]).outcome is Outcome.UNKNOWN


def test_exact_bytes_of_the_allocators_stand_for_pages_that_cannot_tell() -> None:
    def both(live: float):
        exact = Measure("live_bytes_per_request", Unit.BYTES, live, live - 5, live + 5, pool="app")
        return facts(kept(900, 900), exact)

    found = compare([both(1000)], [both(1001)])
    assert found.outcome is Outcome.PASS
    pages = found.row("retained_bytes_per_request", pool="app")
    assert pages is not None
    assert (pages.weight, pages.answer) == (Weight.MAY, Answer.UNKNOWN)
    assert compare([both(1000)], [both(2000)]).outcome is Outcome.FAIL


def test_pages_stand_for_live_bytes_that_cannot_tell() -> None:
    """Garbage that is collected now and then makes live bytes uncertain; what pages do is known all the same."""
    exact = Measure("live_bytes_per_request", Unit.BYTES, 900, 0, 1800, pool="app")
    found = compare([facts(kept(500), exact)], [facts(kept(500), exact)])
    assert found.rows[0].answer is Answer.UNKNOWN
    assert found.outcome is Outcome.PASS


def test_one_run_a_side_says_little_of_latency_and_three_say_more() -> None:
    base, head = [facts(kept(0), latency(20e6)) for _ in range(3)], [facts(kept(0), latency(40e6)) for _ in range(3)]
    single = compare(base[:1], head[:1]).row("p50")
    several = compare(base, head).row("p50")
    assert single is not None
    assert several is not None
    assert (single.answer, several.answer) == (Answer.UNKNOWN, Answer.WORSE)
    assert single.runs_needed is not None
    assert compare(base[:1], head[:1]).outcome is Outcome.PASS
    assert compare(base, head).outcome is Outcome.FAIL


def test_thresholds_can_be_chosen() -> None:
    one, other = run(size=100 * MIB), run(size=108 * MIB)
    assert compare([one], [other]).outcome is Outcome.FAIL
    wide = {name: Threshold(0, 0.2) for name in ("floor_pss", "peak_pss")}
    assert compare([one], [other], thresholds=wide).outcome is Outcome.PASS


def test_many_rows_are_judged_together() -> None:
    """What is certain alone is not certain as the best of forty."""
    names = [f"e{i}" for i in range(40)]
    base = facts(kept(0), *(kept(0, 400, name) for name in names))
    head = facts(kept(0), kept(900, 400, "e0"), *(kept(0, 400, name) for name in names[1:]))
    among = compare([base], [head]).row("retained_bytes_per_request", endpoint="e0")
    alone = compare([facts(kept(0, 400, "e0"))], [facts(kept(900, 400, "e0"))]).row(
        "retained_bytes_per_request", endpoint="e0"
    )
    assert among is not None
    assert alone is not None
    assert among.p == alone.p
    assert (among.answer, alone.answer) == (Answer.UNKNOWN, Answer.WORSE)


def test_refused_without_insisting() -> None:
    other = facts(kept(0), conditions={**ALIKE, "endpoints": "home, search, login"})
    with pytest.raises(UsageError, match="endpoints: home, search in base, home, search, login in head") as refused:
        compare([facts(kept(0))], [other])
    assert "--anyway" in str(refused.value.hint)
    found = compare([facts(kept(0))], [other], anyway=True)
    assert [m.what for m in found.mismatches] == ["endpoints"]


def test_each_side_needs_a_run() -> None:
    with pytest.raises(UsageError, match="a run on each side"):
        compare([], [facts(kept(0))])


def test_whole_runs() -> None:
    healthy, leaking, worse = simulated(1), simulated(2, 8000), simulated(3, 16000)
    assert compare([healthy], [simulated(4)]).outcome is not Outcome.FAIL
    grown = compare([leaking], [worse])
    assert grown.outcome is Outcome.FAIL
    row = grown.row("retained_bytes_per_request", endpoint="cart_add")
    assert row is not None
    assert row.answer is Answer.WORSE
    assert row.difference == pytest.approx(8000, rel=0.15)
    repaired = compare([leaking], [healthy])
    assert repaired.outcome is not Outcome.FAIL
    assert [c.change for c in repaired.findings] == [Change.WENT]
    assert {c.pool for c in repaired.curves} == {"app"}
    assert [c.head for c in repaired.curves] == [False, True]


def test_findings() -> None:
    def change(base: list, head: list) -> list[tuple]:
        found = compare([facts(kept(0), findings=base)], [facts(kept(0), findings=head)])
        return [(c.change, c.base_cause, c.head_cause, c.endpoint) for c in found.findings]

    objects, native, threads = (finding(c, "home") for c in (Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.THREADS))
    assert change([], [objects]) == [(Change.CAME, None, "leak.objects", "home")]
    assert change([objects], []) == [(Change.WENT, "leak.objects", None, "home")]
    assert change([objects], [finding(Cause.LEAK_OBJECTS)]) == [(Change.STAYED, "leak.objects", "leak.objects", "home")]
    assert change([objects], [native]) == [(Change.CAUSE, "leak.objects", "leak.native", "home")]
    assert change([objects, threads], [threads, native]) == [
        (Change.CAUSE, "leak.objects", "leak.native", "home"), (Change.STAYED, "threads", "threads", "home"),
    ]  # fmt: skip


def test_a_finding_of_few_runs_is_no_finding_of_a_side() -> None:
    leak = finding(Cause.LEAK_OBJECTS, "home")
    head = [facts(kept(0), findings=[leak] if i == 0 else []) for i in range(3)]
    assert compare([facts(kept(0))], head).findings == ()
    head = [facts(kept(0), findings=[leak] if i < 2 else []) for i in range(3)]
    assert [(c.change, c.head_runs) for c in compare([facts(kept(0))], head).findings] == [(Change.CAME, 2)]
