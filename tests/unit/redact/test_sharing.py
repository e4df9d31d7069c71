"""Texts that are given to others: equal stays equal, different stays different, and nothing says whose they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redact.sharing import TEXT_CAP, Sharing, strings_in

KEY = "aB3dE5fG7hI9jK1lM3"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gunicorn (pid 14) ended", "gunicorn (pid 14) ended"),
        ("cannot open /home/ada/shop/x.py", "cannot open /home/user-1/shop/x.py"),
        ("/Users/ada.lovelace/x and /home/ada.lovelace/y", "/Users/user-1/x and /home/user-1/y"),
        ("/home/vagrant/x", "/home/vagrant/x"),
        ("from 10.1.2.3 to 127.0.0.1", "from ip-1 to 127.0.0.1"),
        ("version 3.11.7 of 1.2.3.4.5", "version 3.11.7 of 1.2.3.4.5"),
        ("from 2001:db8::17 at 10:20:30", "from ip-1 at 10:20:30"),
        ("mail ada@example.org", "mail email-1"),
        ("http://db.acme.internal:5432/x", "http://host-1:5432/x"),
        ("postgres://ada:pw@10.0.0.7/shop", "postgres://host-1/shop"),
        ("asked db7.acme.com for it", "asked host-1 for it"),
        ("asked db7.acme.it and shop.acme.co.jp", "asked host-1 and host-2"),
        ("acme.se and wombat.pl: 3.5 s.", "host-1 and host-2: 3.5 s."),
        ("eth0 is aa:bb:cc:dd:ee:ff, 02-42-AC-11-00-02", "eth0 is ip-1, ip-2"),
        ("between 10:20:30 and 2026-11-26", "between 10:20:30 and 2026-11-26"),
        ("module concurrent.futures.thread", "module concurrent.futures.thread"),
        ("it said 'secret words'", "it said quoted-1"),
        ("shop.errors.NoSuchOrder: no", "shop.errors.NoSuchOrder: no"),
        ("ValueError: no customer hunter2", "ValueError: …"),
        ("httpx.ReadTimeout: of ada", "httpx.ReadTimeout: …"),
        ("password=hunter2 and more", "password=*** and more"),
        (f"kept {KEY} for {KEY}", "kept value-1 for value-1"),
    ],
)
def test_sentences(text: str, shown: str) -> None:
    assert Sharing().text(text) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("php-fpm: pool www", "php-fpm: pool www"),
        ("/opt/acme/venv/bin/python /opt/acme/venv/bin/gunicorn acme:app -w 4 --max-requests=500 --preload",
         "…/python …/gunicorn arg-1 -w 4 --max-requests=500 --preload"),
        ("python3 worker.py 8743", "python3 arg-1 8743"),
        ("gunicorn: worker [acme-shop]", "gunicorn: worker [arg-1]"),
        ("acmed --customer=ada --limit=3", "program-1 --customer=arg-1 --limit=3"),
        ("php artisan queue:work redis", "php artisan queue:work arg-1"),
        ("", ""),
    ],
)  # fmt: skip
def test_command_lines(line: str, shown: str) -> None:
    assert Sharing().command(line) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("GET /orders/17/items", "GET /orders/17/items"),
        ("GET /reset/ada@example.org", "GET /reset/value-1"),
        ("GET /search?q=ada", "GET /search"),
        ("POST /Tenant-Acme/x", "POST /value-1/x"),
        ("worker:home", "worker:home"),
    ],
)
def test_requests_as_the_target_calls_them(name: str, shown: str) -> None:
    assert Sharing().request(name) == shown


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("['ada@example.org']", "[key-1]"), ("[17]", "[17]"), ("[4711471147]", "[key-1]"),
        ("module shop.cache", "module shop.cache"),
        ("dict of 3", "dict of 3"), ("KEPT", "KEPT"), ("shop.Order_" + KEY, "shop.name-1"),
    ],
)  # fmt: skip
def test_what_holds_memory(label: str, shown: str) -> None:
    assert Sharing().label(label) == shown


def test_programs_that_everybody_knows_keep_their_names() -> None:
    sharing = Sharing()
    known = ("gunicorn", "php-fpm8.2", "python3.11", "nginx", "redis-server", "")
    assert tuple(map(sharing.program, known)) == known
    assert sharing.program("acme") == sharing.program("acme") != sharing.program("w hunter2")


def test_paths_keep_what_is_code() -> None:
    sharing = Sharing()
    assert sharing.path("/srv/shop/site-packages/flask/app.py") == "/srv/shop/site-packages/flask/app.py"
    assert sharing.path(f"/srv/{KEY}/cart.py") == "/srv/name-1/cart.py"
    assert sharing.path(f"/srv/{KEY}.py") == "/srv/name-1.py"
    assert sharing.path("/x/y-1.2.3.4/z") == "/x/y-ip-1/z"


def test_known_values_are_found_in_every_place_and_spelling() -> None:
    sharing = Sharing()
    sharing.learn("value", ["hunter two", "abc", "xy", "4711"], kept=["abc"])
    assert sharing.text("hunter two, hunter%20two, hunter+two, xhunter two") == "value-1, value-2, value-3, xvalue-1"
    assert sharing.text("abc xy 4711") == "abc xy 4711"
    assert sharing.code("get_hunter two") == "get_value-1"


def test_short_known_values_are_found_as_words_only() -> None:
    sharing = Sharing()
    sharing.learn("user", ["ada"])
    assert sharing.text("/srv/ada/adapter of ada.") == "/srv/user-1/adapter of user-1."


def test_a_text_that_looks_like_a_pseudonym_is_no_other() -> None:
    sharing = Sharing()
    assert sharing.host("db") == "host-1"
    assert sharing.code("host-1") != "host-1"


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    shown = Sharing().text("a " * (TEXT_CAP // 2 - 5) + KEY)
    assert len(shown) <= TEXT_CAP
    assert KEY[:6] not in shown


def test_strings_in_plain_data() -> None:
    assert strings_in({"a": ["x", {"b": 12345, "c": 7, "d": True}], "e": None}) == ["x", "12345"]


METHODS = ("text", "code", "label", "path", "program", "command", "request", "source", "host")


@pytest.mark.parametrize("method", METHODS)
@given(text=st.text(max_size=300))
def test_any_text_comes_out_short(method: str, text: str) -> None:
    shown = getattr(Sharing(), method)(text)
    assert isinstance(shown, str)
    assert len(shown) <= 10 * TEXT_CAP


@pytest.mark.parametrize("method", METHODS)
@given(texts=st.lists(st.text(alphabet="aB1/.:-'\"[]?=@ _é", max_size=40), max_size=6, unique=True))
def test_equal_stays_equal(method: str, texts: list[str]) -> None:
    sharing = Sharing()
    call = getattr(sharing, method)
    assert [call(text) for text in texts] == [call(text) for text in texts]


@given(st.lists(st.text(min_size=1, max_size=30), max_size=20, unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    sharing = Sharing()
    assert len({sharing.pseudonym("user", name) for name in names}) == len(names)


@given(st.lists(st.text(alphabet="abAB12-_.", min_size=1, max_size=30), max_size=20, unique=True))
def test_different_names_of_code_stay_different(names: list[str]) -> None:
    sharing = Sharing()
    assert len({sharing.code(name) for name in names}) == len(names)


@given(st.text(alphabet="abc :/'=", max_size=60))
def test_a_sentence_is_not_changed_by_doing_it_again(text: str) -> None:
    sharing = Sharing()
    once = sharing.text(text)
    assert sharing.text(once) == once


UNITS = (
    "/home/",
    "a@",
    "1.",
    "ab:",
    "x://",
    "a.com",
    "Error: ",
    "'a",
    '["',
    "['",
    "['a']",
    "-",
    "a.b.Error",
    "/a?b=",
    "A1b",
    "::",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", UNITS)
def test_hostile_repetition(method: str, unit: str) -> None:
    """What is longer than the cap costs no more than the cap; the suite's time limit is the assertion."""
    assert len(getattr(Sharing(), method)((unit * 500_000)[:500_000])) <= 600_000
