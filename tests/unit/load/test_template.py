from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.template import Template


def test_fills_in_values() -> None:
    template = Template.parse("/user/${id}/posts/${post}?x=$5")
    assert template.variables == {"id", "post"}
    assert template.constant is None
    assert template.render({"id": "7", "post": "${id}"}) == "/user/7/posts/${id}?x=$5"


def test_quotes_values_but_not_the_text_around() -> None:
    assert Template.parse("a b/${v}").render({"v": "c d"}, lambda text: text.replace(" ", "+")) == "a b/c+d"


def test_double_dollar_brace_is_literal() -> None:
    assert Template.parse("$${a} ${b}").render({"b": "1"}) == "${a} 1"
    assert Template.parse("$${a}").constant == "${a}"


@pytest.mark.parametrize("text", ["${", "${a", "${1}", "x ${a b}", "${}"])
def test_refuses_what_looks_like_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="without a variable name"):
        Template.parse(text)


def test_missing_value_is_named() -> None:
    with pytest.raises(KeyError, match="b"):
        Template.parse("${a}${b}").render({"a": ""})


def test_binding_never_parses_the_value() -> None:
    bound = Template.parse("${user}:${password}@${host}").bind({"user": "me", "password": "${host}"})
    assert bound.variables == {"host"}
    assert bound.render({"host": "h"}) == "me:${host}@h"


@given(st.text(alphabet="a${}"))
def test_escaped_text_means_itself(text: str) -> None:
    assert Template.parse(text.replace("${", "$${")).constant == text


@given(st.lists(st.sampled_from(["${a}", "${b}", "x", "$"])), st.text(), st.text())
def test_binding_in_any_order_is_rendering(pieces: list[str], a: str, b: str) -> None:
    text = " ".join(pieces)
    whole = Template.parse(text)
    assert whole.bind({"a": a}).bind({"b": b}).constant == whole.render({"a": a, "b": b})
