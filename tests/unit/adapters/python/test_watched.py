"""Finding the functions that a scenario names."""

from __future__ import annotations

import functools
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from adapters.python.agent import settings, watched
from adapters.python.agent.results import ToolError

NAME = "watched_shop"


def decorated(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*args: Any) -> Any:
        return view(*args)

    return wrapper


def plain() -> list[int]:
    def inner() -> int:
        return 1

    return sorted([inner() for _ in range(2)], key=lambda n: -n)


def create_app(paid: bool) -> Callable[[], Any]:
    if paid:

        def thank() -> None: ...

    else:

        def thank() -> None: ...

    @decorated
    def checkout() -> Any:
        def total() -> int:
            return 1

        class Order:
            def send(self) -> int:
                return total()

        return Order

    return checkout


class Cart:
    def add(self) -> None: ...

    @property
    def total(self) -> int:
        return 0

    @staticmethod
    def static() -> None: ...

    @classmethod
    def made(cls) -> None: ...


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(NAME)
    for own in (
        plain,
        create_app,
        Cart,
        *(value for value in vars(Cart).values() if isinstance(value, types.FunctionType)),
    ):
        monkeypatch.setattr(own, "__module__", NAME)
    for name, value in {
        "plain": plain,
        "Cart": Cart,
        "view": decorated(plain),
        "create_app": create_app,
        "number": 7,
        "length": len,
    }.items():
        setattr(module, name, value)
    unreadable = types.FunctionType(plain.__code__.replace(co_filename="/nowhere/else.py"), {})
    setattr(module, "unreadable", unreadable)  # noqa: B010  (a module has no such attribute for mypy)
    monkeypatch.setitem(sys.modules, NAME, module)


@pytest.mark.parametrize(
    ("spec", "function"),
    [
        ("plain", plain),
        ("view", plain),
        ("Cart.add", Cart.add),
        ("Cart.static", Cart.static),
        ("Cart.made", Cart.made.__func__),  # type: ignore[attr-defined]
        ("Cart.total", Cart.total.fget),  # type: ignore[attr-defined]
    ],
)
def test_found(spec: str, function: Any) -> None:
    assert watched.resolve(f"{NAME}:{spec}") is function.__code__


def test_found_inside_a_function_as_python_names_it() -> None:
    checkout = create_app(True)
    order = checkout()
    for function in (checkout.__wrapped__, order.send):  # type: ignore[attr-defined]
        assert watched.resolve(f"{NAME}:{function.__qualname__}") is function.__code__
    assert order.send.__qualname__ == "create_app.<locals>.checkout.<locals>.Order.send"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("checkuot", "did you mean create_app.<locals>.checkout?"),
        ("create_app.<locals>.chekout", "'chekout'; did you mean create_app.<locals>.checkout?"),
        ("Order.send", "did you mean create_app.<locals>.checkout.<locals>.Order.send?"),
        ("Cart.statik", "did you mean Cart.static?"),
        ("create_app.<locals>.thank", "defines 'thank' more than once (lines "),
    ],
)
def test_a_wrong_name_is_told_with_what_is_near(spec: str, words: str) -> None:
    with pytest.raises(ToolError) as caught:
        watched.resolve(f"{NAME}:{spec}")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("plain", "is not of the form"),
        (f"{NAME}:", "is not of the form"),
        (":plain", "is not of the form"),
        (f"{NAME}:gone", "has no attribute 'gone'"),
        (f"{NAME}:Cart.gone", "has no attribute 'gone'"),
        (f"{NAME}:number", "is not a Python function"),
        (f"{NAME}:length", "is not a Python function"),
        (f"{NAME}:unreadable", "cannot be found"),
        ("no_such_module_at_all:x", "cannot import no_such_module_at_all"),
    ],
)
def test_not_found(spec: str, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        watched.resolve(spec)


def test_nested_code_belongs_to_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings._values, "HARNESS_FUNCTIONS", json.dumps([f"{NAME}:plain", f"{NAME}:gone"]))
    found = watched.Functions("lines", {})
    assert found.names == {plain.__code__: f"{NAME}:plain"}
    assert set(found.owners.values()) == {plain.__code__}
    assert {"plain", "inner", "<lambda>"} <= {code.co_name for code in found.owners}
    assert len(found.problems) == 1
    monkeypatch.setitem(settings._values, "HARNESS_FUNCTIONS", json.dumps([f"{NAME}:gone"]))
    with pytest.raises(ToolError, match="has no attribute"):
        watched.Functions("lines", {})


@pytest.mark.parametrize("text", ["", "[]"])
def test_no_function_at_all(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings._values, "HARNESS_FUNCTIONS", text)
    with pytest.raises(ToolError, match="names no function for lines"):
        watched.Functions("lines", {})
