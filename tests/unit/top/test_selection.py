"""Which processes are asked for."""

from __future__ import annotations

import os

import pytest
from looks import process

from harness.errors import UsageError
from harness.top.selection import in_words, permission_hint, uid_of, user_names, wanted


def test_text_is_looked_for_in_command_line_and_name_in_any_case() -> None:
    test = wanted("FPM", None)
    assert test is not None
    assert test(process(1, command="php-fpm: pool www", name="x"))
    assert test(process(2, command="x", name="php-fpm8.2"))
    assert not test(process(3, command="x", name="y"))


def test_user_and_text_together() -> None:
    test = wanted("a", 33)
    assert test is not None
    assert test(process(1, command="a", uid=33))
    assert not test(process(2, command="a", uid=0))
    assert not test(process(3, command="b", uid=33))
    assert not test(process(4, command="a", uid=None))


def test_who_typed_the_text_does_not_match_it() -> None:
    test = wanted("gunicorn", None)
    assert test is not None
    assert not test(process(os.getpid(), command="harness top --match gunicorn"))
    assert not test(process(os.getppid(), command="sudo harness top --match gunicorn"))
    assert test(process(os.getppid(), command="gunicorn that starts harness"))
    assert test(process(4_194_304, command="vim notes-about --match gunicorn"))
    by_user = wanted(None, 0)
    assert by_user is not None
    assert by_user(process(os.getpid(), command="harness top --user root"))


def test_everything() -> None:
    assert wanted(None, None) is None
    assert in_words(None, None) == ""
    assert in_words("x\x1b", "root") == "matching 'x\\x1b' of user 'root'"


def test_users() -> None:
    assert uid_of("root") == 0
    assert uid_of("4294967294") == 4294967294
    with pytest.raises(UsageError, match="no user 'nob\\\\x1bdy'"):
        uid_of("nob\x1bdy")
    with pytest.raises(UsageError, match="no user"):
        uid_of("a\0b")
    names = user_names()
    assert names(0) == "root"
    assert names(4294967294) in {"4294967294", "nobody"}


def test_the_hint_fits_who_asks() -> None:
    assert "sudo" in permission_hint(1000)
    assert "CAP_SYS_PTRACE" in permission_hint(0)
    assert "security module" in permission_hint(0)  # a root that has the capability can be refused too
