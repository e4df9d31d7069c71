"""Stacks of allocations to lines of the application."""

from __future__ import annotations

import pytest

from adapters.formats.origins import Held, Place, origins
from adapters.python.readers.owners import owner_of
from harness.model.profile import Owner

VIEW = Place("/srv/shop/views.py", 4, "shop.views:buy")
CART = Place("/srv/shop/cart.py", 17, "shop.cart:add")
ORM = Place("/venv/lib/python3.12/site-packages/orm/session.py", 300, "add")
JSON = Place("/usr/lib/python3.12/json/decoder.py", 353, "raw_decode")
NATIVE = Place("/usr/lib/libpng.so", 0, "png_read_row")


def test_the_innermost_line_of_the_application_has_the_bytes() -> None:
    found = {o.line: o for o in origins([Held([VIEW, CART, ORM], 100), Held([VIEW, CART], 50)], owner_of)}
    assert (found[17].kept, found[17].through, found[17].via) == (150, 150, "orm/session.py:300")
    assert found[17].callers == ("shop/views.py:4",)
    assert (found[4].kept, found[4].through) == (0, 150)
    assert {o.owner for o in found.values()} == {Owner.APPLICATION}


def test_packages_only_where_nothing_of_the_application_is_on_the_way() -> None:
    [package] = origins([Held([ORM, JSON], 100)], owner_of)
    assert (package.owner, package.line, package.via) == (Owner.PACKAGE, 300, "json/decoder.py:353")
    [runtime] = origins([Held([JSON], 100)], owner_of)
    assert runtime.owner is Owner.RUNTIME


def test_a_recursion_goes_through_once() -> None:
    [found] = origins([Held([CART, CART, CART], 100)], owner_of)
    assert (found.kept, found.through) == (100, 100)


def test_what_was_freed_is_taken_off() -> None:
    [found] = origins([Held([CART], 100), Held([CART], -30)], owner_of)
    assert found.kept == 70


def test_a_native_function_is_named_by_its_symbol() -> None:
    [found] = origins([Held([CART, NATIVE], 100, peak=300)], owner_of)
    assert (found.via, found.peak) == ("png_read_row", 300)


@pytest.mark.parametrize(
    "file", ["", "<string>", "<frozen importlib._bootstrap>", "/srv/bin/gunicorn", "/usr/lib/libpng.so"]
)
def test_what_is_no_source_is_nobodys(file: str) -> None:
    assert owner_of(Place(file, 3, "f")) is None
    assert origins([Held([Place(file, 3, "f")], 100)], owner_of) == ()


@pytest.mark.parametrize(
    ("file", "owner"),
    [
        ("/srv/shop/cart.py", Owner.APPLICATION),
        ("/srv/venv/lib/python3.12/site-packages/orm/session.py", Owner.PACKAGE),
        ("/usr/lib/python3/dist-packages/orm.py", Owner.PACKAGE),
        ("/usr/lib/python3.12/json/decoder.py", Owner.RUNTIME),
    ],
)
def test_whose_a_file_is(file: str, owner: Owner) -> None:
    assert owner_of(Place(file, 3, "f")) is owner
