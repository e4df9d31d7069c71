"""What looks like a secret is masked in any text; what people write stays."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.redact.secrets import (
    MASK,
    looks_random,
    looks_secret,
    without_queries,
    without_random,
    without_secret_arguments,
    without_secrets,
)

ALPHABETS = {
    "letters and digits": string.ascii_letters + string.digits,
    "hexadecimal": "0123456789abcdef",
    "lower case and digits": string.ascii_lowercase + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
}


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_of_a_thousand_keys_nearly_all_are_found(alphabet: str) -> None:
    made = random.Random(1)
    keys = ["".join(made.choice(alphabet) for _ in range(32)) for _ in range(1000)]
    assert sum(key not in without_random(f"saw {key} there") for key in keys) > 950


def test_of_our_own_names_nearly_none_is_taken_for_a_key() -> None:
    files = sorted(Path(harness.__file__).parent.rglob("*.py"))
    words = {word for file in files for word in file.read_text().split()}
    taken = {word for word in words if without_random(word) != word}
    assert len(words) > 20_000
    assert len(taken) < len(words) / 1000, taken


@pytest.mark.parametrize(
    "key",
    [
        "sk_live_51HabcDEF2345", "ghp_abcdefghijklmnop", "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abcdef",
        "AIzaSyA-1234567890abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def_ghi", "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", "$2b$12$abcdefghijklmnopqrstuv",
    ],
)  # fmt: skip
def test_keys_of_services(key: str) -> None:
    assert key not in without_secrets(f"it is {key}, he said")


@pytest.mark.parametrize(
    "name",
    [
        "AbstractSingletonProxyFactoryBean", "test_a_very_long_name_of_a_test_with_words", "x86_64-linux-gnu",
        "OrderLine2Factory",
        "20261126-083108-demo-php-php-fpm", "concurrent.futures.thread", "site-packages/werkzeug/serving.py",
        "getElementsByTagNameNS",
        "/usr/lib/python3.11/site-packages/flask/app.py", "12345678901234567890", "retained_bytes_per_request",
    ],
)  # fmt: skip
def test_names_stay(name: str) -> None:
    assert without_secrets(name) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /cart?id=3&t=9", "GET /cart?***"),
        ("see https://h/a?x=1#frag and /b?y=2 too", "see https://h/a?*** and /b?*** too"),
        ("really? a=b", "really? a=b"),
        ("redis://u:p@db:6379/0", "redis://***@db:6379/0"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("password = 'a b c', next", "password = ***, next"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY----- rest", "*** rest"),
    ],
)
def test_what_its_place_gives_away(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_an_argument_may_be_the_value_of_the_one_before() -> None:
    arguments = ["app", "--token", "x y", "--n", "3", "-u", "ada:pw", "API_KEY=z"]
    assert without_secret_arguments(arguments) == ["app", "--token", MASK, "--n", "3", "-u", "ada:***", "API_KEY=***"]


def test_names_that_tell() -> None:
    assert all(map(looks_secret, ("password", "DB_PASSWORD", "X-Api-Key", "csrf_token", "session_id", "Authorization")))
    assert not any(map(looks_secret, ("name", "id", "email", "tokio"[:3])))


def test_digits_alone_are_numbers() -> None:
    assert not looks_random("1795681868149156509")


def test_what_stands_for_a_word_is_chosen_by_the_caller() -> None:
    key = "aB3dE5fG7hI9jK1lM3"
    assert without_random(f"a_{key}", lambda word: f"<{len(word)}>") == f"<{len(key) + 2}>"
    assert without_queries("/a?b=c", lambda query: query.upper()) == "/a?B=C"


@given(st.text(max_size=200))
def test_any_text_comes_out_and_a_second_time_changes_nothing(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


@given(st.text(alphabet="ab=?&:/@\"'-p *.token", max_size=60))
def test_nor_of_text_made_of_what_patterns_look_for(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


@given(st.lists(st.text(max_size=40), max_size=6))
def test_as_many_arguments_as_before(arguments: list[str]) -> None:
    assert len(without_secret_arguments(arguments)) == len(arguments)


UNITS = (
    "pass", "token ", "a", "://", "--password ", '"', "-p", "key=", "auth:", "@://", "?a", "?a=", "/a?", "aB1", "eyJa.", "a/b/",
    "+/+",
    "-----BEGIN ", "bearer ", "sk_live_", "_-", "A1a_",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_repetition_takes_no_more_than_linear_work(unit: str) -> None:
    """Quadratic patterns need minutes for this much; the suite's time limit is the assertion."""
    assert without_secrets((unit * 300_000)[:300_000]) is not None
