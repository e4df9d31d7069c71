"""What is said when nothing works."""

from __future__ import annotations

from dataclasses import replace

from timelines import span

from harness.session.workload import nothing_worked

ANSWERED = replace(span(1, 0, 1, endpoint="home", status=404), failed_checks=("status",))


def test_an_unwanted_answer_leads_to_the_scenario() -> None:
    error = nothing_worked(ANSWERED)
    assert "warm-up round failed, for example home: HTTP 404 (check failed: status)" in str(error)
    assert error.hint == "edit the paths under `requests:` (or `check:`) in the scenario"


def test_several_checks_are_a_list_in_words() -> None:
    error = nothing_worked(replace(ANSWERED, status=200, failed_checks=("contains", "latency")))
    assert "HTTP 200 (checks failed: contains, latency)" in str(error)


def test_no_answer_is_not_blamed_on_the_scenario() -> None:
    error = nothing_worked(replace(ANSWERED, status=None, error="connection refused", failed_checks=()))
    assert error.hint == "for example home: connection refused"
    assert nothing_worked(None).hint is None
