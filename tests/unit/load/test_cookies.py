from __future__ import annotations

import pytest

from harness.load.cookies import CookieJar

NOW = 1_700_000_000.0


def jar(*set_cookies: str, path: str = "/") -> CookieJar:
    jar = CookieJar("shop.example.org")
    jar.store(set_cookies, path, NOW)
    return jar


def sent(jar: CookieJar, path: str = "/", *, secure: bool = False, now_s: float = NOW) -> str:
    return jar.header(path, secure=secure, now_s=now_s)


def test_keeps_replaces_and_forgets() -> None:
    cookies = jar("a=1; Path=/", "b=2; HttpOnly", "a=3; Path=/")
    assert sent(cookies) == "b=2; a=3"
    cookies.store(["a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=; Path=/; Max-Age=0"], "/", NOW)
    assert sent(cookies) == ""


def test_values_are_sent_back_as_they_came() -> None:
    assert sent(jar('q="x y=z"; Path=/')) == 'q="x y=z"'


def test_longer_paths_come_first_and_win() -> None:
    cookies = jar("a=root; Path=/", "a=deep; Path=/shop", "b=1; Path=/shop/")
    assert sent(cookies, "/shop/x") == "b=1; a=deep"
    assert sent(cookies, "/shop") == "a=deep"
    assert sent(cookies, "/shopping") == "a=root"


@pytest.mark.parametrize(("request_path", "cookie_path"), [("/a/b/c", "/a/b"), ("/a", "/"), ("/", "/")])
def test_default_path_is_the_folder(request_path: str, cookie_path: str) -> None:
    cookies = jar("a=1", path=request_path)
    assert sent(cookies, cookie_path) == "a=1"
    assert sent(cookies, "/elsewhere") == ("a=1" if cookie_path == "/" else "")


@pytest.mark.parametrize(
    ("domain", "kept"),
    [("shop.example.org", True), (".example.org", True), ("Example.ORG", True), ("other.org", False),
     ("op.example.org", False), ("x.shop.example.org", False)],
)  # fmt: skip
def test_foreign_domains_are_ignored(domain: str, kept: bool) -> None:
    assert bool(sent(jar(f"a=1; Domain={domain}; Path=/"))) is kept


def test_secure_cookies_need_tls() -> None:
    assert sent(jar("a=1; Path=/; Secure")) == ""
    assert sent(jar("a=1; Path=/; Secure"), secure=True) == "a=1"


def test_expiry() -> None:
    cookies = jar("a=1; Path=/; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=1; Path=/; Expires=rubbish")
    assert sent(cookies, now_s=NOW + 9) == "a=1; b=1"
    assert sent(cookies, now_s=NOW + 10) == "b=1"


def test_extra_cookies_win() -> None:
    assert jar("a=1; Path=/").header("/", secure=False, now_s=NOW, extra={"a": "2", "t": "x"}) == "a=2; t=x"


@pytest.mark.parametrize("text", ["", "novalue", "=x", ";", "a=" + "x" * 5000])
def test_rubbish_is_ignored(text: str) -> None:
    assert sent(jar(text)) == ""


def test_a_hostile_server_cannot_fill_it() -> None:
    cookies = jar(*(f"c{i}=1; Path=/" for i in range(1000)))
    names = sent(cookies).split("; ")
    assert len(names) == 64
    assert names[-1] == "c999=1"
