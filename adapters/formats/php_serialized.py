"""What PHP's ``serialize()`` writes of arrays, strings and integers, and nothing else: no objects, no references. Pure.

::

    value  = "i:" integer ";" | "s:" length ":" DQUOTE bytes DQUOTE ";" | "a:" count ":{" *( key value ) "}"
    key    = integer or string
"""

from __future__ import annotations

import re

_DEPTH_CAP = 8
_ITEMS_CAP = 2_000_000
_INTEGER = re.compile(rb"i:(-?\d{1,19});")
_STRING = re.compile(rb's:(\d{1,9}):"')
_ARRAY = re.compile(rb"a:(\d{1,9}):\{")

Value = int | bytes | dict[int | bytes, "Value"]


def load(data: bytes) -> Value:
    """The one value in ``data``; ValueError with the reason when it is another thing, cut, or beyond a limit. Never recursive."""
    reader = _Reader(data)
    value = reader.value()
    if data[reader.at :].strip():
        raise ValueError("something follows the serialized value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self._items = 0

    def value(self) -> Value:
        """The value at the current position; arrays that are not over wait in ``waiting``."""
        first = self._next()
        if not isinstance(first, _Array):
            return first
        waiting = [first]
        while True:
            array = waiting[-1]
            if array.left == 0:
                self._brace()
                waiting.pop()
                if not waiting:
                    return first.items
                continue
            array.left -= 1
            key = self._next()
            if isinstance(key, _Array):
                raise ValueError(f"an array as a key at byte {self.at}")
            item = self._next()
            array.items[key] = item.items if isinstance(item, _Array) else item
            if isinstance(item, _Array):
                if len(waiting) == _DEPTH_CAP:
                    raise ValueError(f"arrays are nested more than {_DEPTH_CAP} deep")
                waiting.append(item)

    def _next(self) -> int | bytes | _Array:
        self._items += 1
        if self._items > _ITEMS_CAP:
            raise ValueError(f"more than {_ITEMS_CAP} values")
        kind = self._data[self.at : self.at + 1]
        if kind == b"i" and (found := _INTEGER.match(self._data, self.at)):
            self.at = found.end()
            return int(found[1])
        if kind == b"s" and (found := _STRING.match(self._data, self.at)):
            start, end = found.end(), found.end() + int(found[1])
            if self._data[end : end + 2] != b'";':
                raise ValueError(f"a string at byte {self.at} is not as long as it says")
            self.at = end + 2
            return self._data[start:end]
        if kind == b"a" and (found := _ARRAY.match(self._data, self.at)):
            self.at = found.end()
            return _Array(int(found[1]))
        raise ValueError(f"neither integer, string nor array at byte {self.at}")

    def _brace(self) -> None:
        if self._data[self.at : self.at + 1] != b"}":
            raise ValueError(f"an array is not over at byte {self.at}")
        self.at += 1


class _Array:
    """An array while it is read: how many items are still to come."""

    __slots__ = ("items", "left")

    def __init__(self, left: int) -> None:
        self.items: dict[int | bytes, Value] = {}
        self.left = left
