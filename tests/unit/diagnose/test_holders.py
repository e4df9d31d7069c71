"""Which lines lie in the module of what holds the survivors."""

from __future__ import annotations

import pytest

from harness.diagnose.holders import circle_name, holder_name, of_module
from harness.model.profile import Frame, Holder, HolderChain, ObjectGroup, Origin, Owner, Profile, ValueType

TYPES = (ValueType("objects", "count", "objects"), ValueType("inuse_space", "bytes", "bytes"))
OWN = Profile("tracemalloc", TYPES, frames=(Frame("f", "/srv/shop/cart.py", 1), Frame("g", "/srv/shop/orders.py", 1)))


def line(file: str, function: str = "use") -> Origin:
    return Origin(Owner.APPLICATION, file, 9, function, 100)


def survivors(*labels: str, kind: str = "dict", size: int = 100) -> Profile:
    chain = HolderChain(kind, 1, tuple(Holder(label, "x") for label in labels))
    return Profile("survivors", TYPES, objects=(ObjectGroup(kind, (1, size)),), holders=(chain,))


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("module shop.cart", "dict of 3", "dict"), "shop.cart"),
        (("frame of uvicorn.run", "frame of shop.orders.render", "shop.Order"), "shop.orders.render"),
        (("module orm", "shop.orders.Order", "dict"), "shop.orders.Order"),
        (("module orm", "dict of 3"), ""),
    ],
)
def test_the_first_holder_of_the_application(labels: tuple[str, ...], name: str) -> None:
    assert holder_name([OWN, survivors(*labels)]) == name


def test_without_names_of_the_application_nobody_is_known_to_hold_anything() -> None:
    assert holder_name([survivors("module shop.cart")]) == ""
    assert holder_name([]) == ""


def test_the_circle_of_a_type_of_the_application_comes_before_larger_ones() -> None:
    def circle(kind: str, objects: int) -> HolderChain:
        return HolderChain(kind, objects, (Holder("list of 2", "[0]"), Holder(kind, "parent"), Holder("list of 2", "")))

    found = Profile("survivors", TYPES, cycles=(circle("json.Node", 90), circle("shop.cart.Node", 4)))
    assert circle_name([OWN, found]) == "shop.cart.Node"
    assert circle_name([OWN, Profile("survivors", TYPES, cycles=(circle("json.Node", 90),))]) == ""


def test_lines_of_a_module_by_the_functions_full_name_or_by_the_file() -> None:
    named, other = line("/srv/x.py", "shop.cart:Cart.add"), line("/srv/shop/orders.py", "shop.orders:add")
    assert of_module([named, other], "shop.cart.Cart") == [named]
    by_file = line("/srv/shop/cart.py")
    package = line("/srv/shop/__init__.py")
    assert of_module([other, by_file], "shop.cart") == [by_file]
    assert of_module([package, other], "shop") == [package]


def test_the_file_that_fits_most_of_the_name() -> None:
    package, module = line("/srv/shop/__init__.py"), line("/srv/shop/cart.py")
    assert of_module([package, module], "shop.cart.Cart") == [module]
    assert of_module([module], "cart.Cart") == [module]  # started in /srv/shop
    assert of_module([package, module], "") == []
    assert of_module([package, module], "stock.cart") == []
