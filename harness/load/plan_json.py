"""Read one JSON object field by field, with errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Any JSON value. Recursive aliases do not survive dataclasses.asdict under mypy, and every read below checks the type.
JsonValue = Any

_MISSING: Any = object()


class JsonObject:
    """The fields of one object; each may be taken once, and `done` refuses what nobody took."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{path}: must be an object")
        self.path = path
        self._rest: dict[str, JsonValue] = dict(value)

    def take(self, key: str, default: JsonValue = _MISSING) -> JsonValue:
        value = self._rest.pop(key, default)
        if value is _MISSING:
            raise ValueError(f"{self.path}.{key}: is missing")
        return value

    def done(self) -> None:
        if self._rest:
            raise ValueError(f"{self.path}.{min(self._rest)}: unknown field")

    def text(self, key: str, default: JsonValue = _MISSING) -> str:
        value: str = self._typed(key, default, str, "a text")
        return value

    def text_or_none(self, key: str) -> str | None:
        return None if self._null(key) else self.text(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        value: bool = self._typed(key, default, bool, "true or false")
        return value

    def integer(self, key: str, default: JsonValue = _MISSING) -> int:
        value: int = self._typed(key, default, int, "an integer")
        return value

    def integer_or_none(self, key: str) -> int | None:
        return None if self._null(key) else self.integer(key)

    def number(self, key: str, default: JsonValue = _MISSING) -> float:
        value = self.take(key, default)
        if type(value) not in {int, float}:
            raise ValueError(f"{self.path}.{key}: must be a number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        return None if self._null(key) else self.number(key)

    def array(self, key: str, default: JsonValue = _MISSING) -> Sequence[JsonValue]:
        value = self.take(key, default)
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self.path}.{key}: must be a list")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        return self._items(key, str, "a text")

    def integers(self, key: str) -> tuple[int, ...]:
        return self._items(key, int, "an integer")

    def texts(self, key: str) -> Mapping[str, str]:
        value = self.take(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ValueError(f"{self.path}.{key}: must be an object of texts")
        return value

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """A list of [name, text] pairs."""
        items = self.array(key, ())
        for index, item in enumerate(items):
            if not isinstance(item, list | tuple) or [type(text) for text in item] != [str, str]:
                raise ValueError(f"{self.path}.{key}[{index}]: must be a pair of texts")
        return tuple((name, text) for name, text in items)

    def pairs_or_none(self, key: str) -> tuple[tuple[str, str], ...] | None:
        return None if self._null(key) else self.pairs(key)

    def _null(self, key: str) -> bool:
        return self._rest.get(key) is None and self._rest.pop(key, None) is None

    def _typed(self, key: str, default: JsonValue, wanted: type, words: str) -> Any:
        value = self.take(key, default)
        if type(value) is not wanted:  # not isinstance: True is no integer
            raise ValueError(f"{self.path}.{key}: must be {words}")
        return value

    def _items(self, key: str, wanted: type, words: str) -> tuple[Any, ...]:
        items = self.array(key, ())
        for index, item in enumerate(items):
            if type(item) is not wanted:
                raise ValueError(f"{self.path}.{key}[{index}]: must be {words}")
        return tuple(items)
