"""References in texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.load.template import Template
from harness.scenario.variables import looks_like_environment, malformed, references, resolve


def test_references_are_found_in_values_at_any_depth() -> None:
    data = {"a": ["${ONE}", {"b": "x${two}${ONE}"}], "${key}": 3, "c": None, "d": ("$${not}", "$ONE {two}")}
    assert references(data) == {"ONE", "two"}


def test_resolve_keeps_the_shape() -> None:
    data = {"a": ["${A}-${b}", 1, None, True], "b": ("$${A}", "plain")}
    assert resolve(data, {"A": "1", "b": "environment"}, {"b": "captured"}) == {
        "a": ["1-captured", 1, None, True],
        "b": ("${A}", "plain"),
    }


def test_values_are_never_read_again() -> None:
    assert resolve("${a}", {"B": "secret"}, {"a": "${B}$${B}"}) == "${B}$${B}"


def test_a_name_without_a_value_is_named() -> None:
    with pytest.raises(UsageError, match=r"\$\{PASSWORD\} has no value") as caught:
        resolve({"x": "${PASSWORD}"}, {})
    assert "export PASSWORD=" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "broken"),
    [("${A:-x} y", "${A:-x"), ("a ${", "${"), ("${}", "${"), ("$${A:-x}", None), ("${A} $B", None), ("${1}", "${1")],
)
def test_what_only_looks_like_a_reference(text: str, broken: str | None) -> None:
    assert malformed(text) == broken


def test_environment_names_are_upper_case() -> None:
    assert looks_like_environment("DB_URL2")
    assert not looks_like_environment("csrf")


_PIECES = st.lists(st.sampled_from(["$", "{", "}", "$${", "${A}", "${b_1}", "${", "x", " ", "é"]), max_size=12)


@settings(deadline=None)
@given(_PIECES.map("".join))
def test_the_load_generator_reads_texts_the_same_way(text: str) -> None:
    values = {name: f"<{name}>${{A}}$${{" for name in references(text)}
    if malformed(text) is not None:
        with pytest.raises(ValueError, match="without a variable name"):
            Template.parse(text)
        return
    template = Template.parse(text)
    assert template.variables == references(text)
    assert template.render(values) == resolve(text, values)
