"""What a scenario gives away."""

from __future__ import annotations

from harness.redact.known import environment_values, secret_values, sent_values, variables

SCENARIO: dict[str, object] = {
    "target": {"env": {"API_KEY": "k-1", "LEVEL": "3"}, "launch": [{"run": "x", "env": {"DB_PASSWORD": "p-1"}}]},
    "requests": [
        {
            "name": "login",
            "post": "/login?next=%2Fhome&t=q1",
            "form": {"user": "ada", "password": "hunter2", "csrf": "${csrf}"},
            "cookies": {"sid": "c-1"},
            "headers": {"X-A": "h-1"},
            "query": {"page": "7"},
        },
        {"name": "pay", "json": {"card": {"secret": "s-1", "number": 4111111111}}},
        "not a request",
    ],
}


def test_all_that_is_sent() -> None:
    assert sent_values(SCENARIO) == ["h-1", "c-1", "7", "ada", "hunter2", "/home", "q1", "s-1", "4111111111"]


def test_what_is_a_secret_by_its_place() -> None:
    assert secret_values(SCENARIO) == ["k-1", "p-1", "c-1", "hunter2", "s-1"]


def test_the_environment_and_its_names() -> None:
    assert list(environment_values(SCENARIO)) == [("API_KEY", "k-1"), ("LEVEL", "3"), ("DB_PASSWORD", "p-1")]
    assert variables(SCENARIO) == {"csrf"}


def test_a_scenario_of_another_shape_gives_nothing() -> None:
    for scenario in (
        {},
        {"requests": 3, "target": []},
        {"requests": [{"get": "http://[bad?x=1"}], "target": {"launch": "x"}},
    ):
        assert secret_values(scenario) == []
        assert list(environment_values(scenario)) == []
    assert sent_values({"requests": [{"get": "http://[bad?x=1"}]}) == ["1"]
