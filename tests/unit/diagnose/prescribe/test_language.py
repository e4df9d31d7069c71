"""Conditions: what they mean, what is unknown, and what is refused when they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnose.prescribe.language import Kind, LanguageError, Value, parse

KINDS = {
    "a": Kind.NUMBER,
    "b": Kind.NUMBER,
    "t": Kind.TEXT,
    "yes": Kind.TRUTH,
    "vm.swappiness": Kind.ANY,
    "x.y-z": Kind.ANY,
}
KNOWN: dict[str, Value] = {"a": 10.0, "t": "glibc 2.36", "yes": True, "vm.swappiness": 60, "x.y-z": "always"}


def kind_of(name: str) -> Kind:
    if name not in KINDS:
        raise LanguageError(f"{name!r} does not exist")
    return KINDS[name]


def value(text: str, known: dict[str, Value] = KNOWN) -> Value:
    return parse(text, kind_of).value(known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", 10), ("1.5", 1.5), ("64 MiB", 64 * 1024**2), ("64MiB", 64 * 1024**2), ("5 %", 0.05), ("2 kB", 2000), ("3 B", 3),
        ("1 + 2 * 3 - 4 / 2", 5), ("(1 + 2) * 3", 9), ("-a + 1", -9), ("10 - 2 - 3", 5), ("min(a, 3)", 3), ("max(a, 3)", 10),
        ("a > 9 and a < 11", True), ("a > 9 and a < 10", False), ("a < 5 or a > 9", True), ("not a > 9", False),
        ("not not yes", True), ("yes and not a == 10", False), ("a >= 10", True), ("a <= 9", False), ("a != 10", False),
        ("t == 'glibc 2.36'", True), ('t != "glibc"', True), ("contains(t, 'glibc')", True), ("contains(t, 'musl')", False),
        ("vm.swappiness in [10, 60]", True), ("x.y-z in ['always', 'never']", True), ("t not in ['musl']", True),
        ("vm.swappiness == 60", True), ("x.y-z == 'always'", True), ("true", True), ("false or yes", True),
        ("a > 5 % * 100 + 4", True), ("known(a)", True), ("known(b)", False), ("not known(b)", True),
    ],
)  # fmt: skip
def test_meaning(text: str, expected: Value) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b > 1", None), ("b + 1", None), ("not b > 1", None), ("b > 1 and a > 99", False), ("b > 1 and a > 1", None),
        ("b > 1 or a > 1", True), ("b > 1 or a > 99", None), ("b in [1]", None), ("b not in [1]", None), ("min(a, b)", None),
        ("a / 0", None), ("a / 0 > 1", None), ("known(a / 0)", False), ("x.y-z > 5", None), ("x.y-z + 1", None),
    ],
)  # fmt: skip
def test_the_unknown(text: str, expected: Value) -> None:
    assert value(text) is expected
    assert parse(text, kind_of).holds(KNOWN) is (expected is True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "something is missing"), ("a >", "something is missing before 'the end'"), ("a > 1 and", "missing before"),
        ("(a > 1", "')' is missing"), ("a > 1)", "')' is not expected here"), ("a 5", "'5' is not expected"),
        ("nope > 1", "'nope' does not exist"), ("a > 't'", "a number is needed after '>'"),
        ("t > 1", "a number is needed before '>'"),
        ("a and yes", "a yes or no is needed on both sides of 'and'"), ("not a", "a yes or no is needed after 'not'"),
        ("t == 1", "never equal"), ("1 < a < 3", "three things"), ("a in 5", "needs a list"),
        ("t in 'abc'", "contains(text, part)"),
        ("[1, 2]", "is a list"), ("a in [b]", "a list holds numbers"), ("a in [1", "','"), ("exec('x')", "exec() does not exist"),
        ("known(a, b)", "takes 1 things, not 2"), ("contains(a, 'x')", "a text is needed in contains()"),
        ("a = 1", "'= 1' is not"),
        ("a > 5 MiX", "'MiX' is not expected here"), ("a > 5x", "is not understood"), ("a; b", "is not understood"),
        ("a.b > 1", "does not exist"),
        ("__import__('os')", "does not exist"), ("t.upper() == 1", "does not exist"), ("'open", "is not understood"),
        ("not", "something is missing"), ("a + yes", "a number is needed on both sides of '+'"), ("a == [1]", "never equal"),
    ],
)  # fmt: skip
def test_mistakes_are_told_when_it_is_read(text: str, said: str) -> None:
    with pytest.raises(LanguageError) as caught:
        parse(text, kind_of)
    assert said in str(caught.value)


def test_names_are_listed_once_in_order() -> None:
    assert parse("b > a and (a < 3 or t == 'x')", kind_of).names == ("b", "a", "t")


def test_what_is_too_deep_or_too_long_is_refused() -> None:
    with pytest.raises(LanguageError, match="nested deeper"):
        parse("(" * 200 + "a" + ")" * 200, kind_of)
    with pytest.raises(LanguageError, match="longer than"):
        parse("a > 1 or " * 300 + "a > 1", kind_of)
    assert value("not " * 400 + "yes") is True  # no recursion where none is needed


@given(st.text(alphabet="ab()[]<>=!'\"+-*/,. 01notrdkw%MiB", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse(text, kind_of)
    except LanguageError:
        return
    for known in (KNOWN, {}):
        assert isinstance(expression.value(known), float | int | str | bool | None)
