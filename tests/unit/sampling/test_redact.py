"""No secret, no control character and no endless text leaves a process's command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.redact import COMMAND_CAP, command_line, printable, process_name

S = "s3cr=t:V/al@ue"  # every character that ends something somewhere


@pytest.mark.parametrize(
    "arguments",
    [
        ("mysql", "--password", S),
        ("mysql", "--password=" + S),
        ("mysql", "-p", S),
        ("mysql", "-p" + S),
        ("app", "--db-passwd", S, "--port", "80"),
        ("app", "--api-key", S),
        ("app", "-token", S),
        ("app", "--auth.token.value=" + S),
        ("env", "DB_PASSWORD=" + S, "php", "x.php"),
        ("env", "AWS_SECRET_ACCESS_KEY=" + S),
        ("env", "APP_DSN=" + S),
        ("curl", "-u", "ada:" + S),
        ("curl", "-H", "Authorization: Bearer " + S),
        ("curl", "-H", "Cookie: a=1; id=" + S),
        ("curl", "-H", "X-Api-Key: " + S),
        ("curl", "https://h/x?token=" + S),
        ("curl", "-d", '{"user":"ada","password":"' + S + '"}'),
        ("worker", "redis://:" + S + "@db:6379/0"),
        ("worker", "amqp://ada:" + S + "@h1,amqp://ada:" + S + "@h2"),
        ("sh", "-c", "DB_PASSWORD=" + S + " php artisan queue:work --password " + S),
        ("sh", "-c", "cd /srv && mysql -p" + S + " shop"),
        ("sh", "-c", "x --secret '" + S + "' y"),
        ("worker: --password " + S + " -p " + S + " KEY_TOKEN=" + S,),
        ("one --password " + S,),
        ("python3", "-c", "import os; os.execv('/bin/x', ['x', '--password', '" + S + "'])"),
        ("sh", "-c", 'docker run x ["--token","' + S + '"]'),
    ],
)
def test_secrets_are_masked(arguments: tuple[str, ...]) -> None:
    shown = command_line(arguments)
    assert "***" in shown
    for part in (S, "s3cr", "V/al", "al@ue"):
        assert part not in shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("php-fpm: pool www",), "php-fpm: pool www"),
        (("gunicorn: worker [shop.wsgi]",), "gunicorn: worker [shop.wsgi]"),
        (("gunicorn", "shop:app", "-w", "4", "-b", "127.0.0.1:8000"), "gunicorn shop:app -w 4 -b 127.0.0.1:8000"),
        (("redis", "redis://ada:x@db:6379/0"), "redis redis://***@db:6379/0"),
        (("mail", "ada@example.org", "https://example.org/a"), "mail ada@example.org https://example.org/a"),
        (("curl", "-u", "ada:x", "http://h/"), "curl -u ada:*** http://h/"),
        (("x", "--token", "a", "b"), "x --token *** b"),
        ((), ""),
    ],
)
def test_the_rest_stays_readable(arguments: tuple[str, ...], shown: str) -> None:
    assert command_line(arguments) == shown


def test_a_secret_cut_by_the_read_limit_is_still_masked() -> None:
    assert "s3" not in command_line(("x", "--password", "s3"))
    assert "s3" not in command_line(('sh -c {"password": "s3',))


def test_control_and_direction_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\n\x7f\x9b\u202eb\U000e0001é") == "a\\x1b[31m\\x0a\\x7f\\x9b\\u202eb\\U000e0001é"
    assert process_name(b"a) S 1 (b\nc\xff") == "a) S 1 (b\\x0ac�"


def test_length_is_capped() -> None:
    shown = command_line(("x" * 5000,))
    assert len(shown) == COMMAND_CAP
    assert shown.endswith("…")


@given(
    before=st.lists(st.text(max_size=20), max_size=3),
    option=st.sampled_from(["--password", "--api-token", "-p", "--x-secret-y"]),
    secret=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=8, max_size=30),
)
def test_the_argument_after_an_option_is_never_shown(before: list[str], option: str, secret: str) -> None:
    shown = command_line(["program", *before, option, "<" + secret + ">"])
    assert "<" + secret not in shown


@given(st.lists(st.text(max_size=60), max_size=8))
def test_any_text_comes_out_short_and_printable(arguments: list[str]) -> None:
    shown = command_line(arguments)
    assert shown.isprintable()
    assert len(shown) <= COMMAND_CAP


@pytest.mark.parametrize("unit", ["pass", "token ", "a", "://", "--password ", '"', "-p", "key=", "auth:", "@://"])
def test_repetitive_text_takes_no_more_than_linear_work(unit: str) -> None:
    """Quadratic patterns need minutes for this much; the suite's time limit is the assertion."""
    assert len(command_line(((unit * 400_000)[:400_000],))) <= COMMAND_CAP
