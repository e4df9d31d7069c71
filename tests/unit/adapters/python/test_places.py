"""Which function a line belongs to: plain, nested, methods, closures that are gone, comprehensions; by loaded code alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import pytest

from adapters.python.agent import places
from adapters.python.agent.results import ToolError
from adapters.python.agent.watched import Functions


def outer(number: int) -> Callable[[], int]:
    first = number + 1

    def inner() -> int:
        return first * 2

    return inner


class Shop:
    def add(self, things: list[int]) -> list[int]:
        return [
            thing + 1
            for thing in things
        ]  # fmt: skip


def hidden(function: Callable[[], int]) -> Callable[[], int]:
    @functools.wraps(function)
    def wrapper() -> int:
        return function()

    return wrapper


@hidden
def decorated() -> int:
    return 3


def line_of(text: str) -> int:
    """The line of this file that ends with a text."""
    lines = inspect.getsource(inspect.getmodule(line_of)).splitlines()  # type: ignore[arg-type]  # this very module
    [number] = [n for n, line in enumerate(lines, 1) if line.rstrip() == text]
    return number


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("    first = number + 1", "outer"),
        ("        return first * 2", "outer.<locals>.inner"),
        ("            thing + 1", "Shop.add"),
        ("        return function()", "hidden.<locals>.wrapper"),
        ("    return 3", "decorated"),
    ],
)
def test_the_innermost_named_function_around_a_line(text: str, name: str) -> None:
    assert places.names([(__file__, line_of(text))]) == [[__file__, line_of(text), f"{__name__}:{name}"]]


def test_what_is_in_no_function_has_no_name() -> None:
    assert places.names([(__file__, 1), ("/nowhere.py", 3)]) == []


def test_functions_are_watched_by_a_line_in_them() -> None:
    line = line_of("            thing + 1")
    found = Functions("lines", {"at": f'[["{__file__}", {line}], ["/nowhere.py", 3]]'})
    assert list(found.names.values()) == [f"{__name__}:Shop.add"]
    assert Shop.add.__code__ in found.owners
    assert found.problems == ["no function that is loaded has line 3 of /nowhere.py"]


def test_no_such_function_at_all_is_the_reason() -> None:
    with pytest.raises(ToolError, match="no function that is loaded has line 3"):
        Functions("lines", {"at": '[["/nowhere.py", 3]]'})
