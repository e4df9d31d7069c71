"""The language of conditions: names, numbers, texts, comparisons, arithmetic, and, or, not. Four functions, no loops, no state.

What was not observed is *unknown*, and what is computed from it is unknown too, except where the rest decides: ``false and
unknown`` is false, ``true or unknown`` is true (Kleene's logic). So a condition on something that this run could not see is not
met, without a word about it in the condition. Mistakes of types show when a file is read, not when a rule should have fired.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.units import parse_bytes

Value = float | str | bool | None
_Look = Callable[[str], Value]
MAX_LENGTH = 2000
_MAX_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?)(?:\s*(?P<unit>%|(?:[KMGT]iB|[kMG]B|B)(?![A-Za-z0-9_])))?(?![A-Za-z0-9_])
    | '(?P<single>[^'\n]*)' | "(?P<double>[^"\n]*)"
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*)*)
    | (?P<sign>==|!=|<=|>=|[-+*/<>(),\[\]])
    )""",
    re.VERBOSE,
)


class Kind(StrEnum):
    """What a value is. ANY: a fact whose kind shows only when it is there."""

    NUMBER = "number"
    TEXT = "text"
    TRUTH = "yes or no"
    LIST = "list"
    ANY = "any"


class LanguageError(ValueError):
    """What is wrong with an expression, for people."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition or a computation that was read without mistakes. ``names``: those it asks for, in order."""

    text: str
    kind: Kind
    names: tuple[str, ...]
    _value: Callable[[_Look], Value]

    def value(self, known: Mapping[str, Value]) -> Value:
        """None where it depends on something unknown."""
        return self._value(known.get)

    def holds(self, known: Mapping[str, Value]) -> bool:
        """Whether it is certainly true."""
        return self.value(known) is True

    @property
    def is_name(self) -> bool:
        return self.names == (self.text.strip(),)


def parse(text: str, kind_of: Callable[[str], Kind]) -> Expression:
    """Raises LanguageError. ``kind_of`` tells the kind of a name, or raises LanguageError for one that does not exist."""
    if len(text) > MAX_LENGTH:
        raise LanguageError(f"is longer than {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text), kind_of)
    node = parser.either(0)
    if parser.ahead.kind != "end":
        raise LanguageError(f"{parser.ahead.text!r} is not expected here")
    if node.kind is Kind.LIST:
        raise LanguageError("is a list: write NAME in [...]")
    return Expression(text, node.kind, tuple(dict.fromkeys(parser.names)), node.value)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number | text | name | sign | end
    text: str
    number: float = 0.0


@dataclass(frozen=True, slots=True)
class _Node:
    kind: Kind
    value: Callable[[_Look], Value]
    items: tuple[Value, ...] = ()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    stop = len(text.rstrip())
    while at < stop:
        match = _TOKEN.match(text, at)
        if match is None:
            raise LanguageError(f"{text[at:].strip()[:20]!r} is not understood")
        at = match.end()
        if match["number"] is not None:
            found.append(_Token("number", match[0].strip(), _number(match["number"], match["unit"])))
        elif match["name"] is not None:
            found.append(_Token("name", match["name"]))
        elif match["sign"] is not None:
            found.append(_Token("sign", match["sign"]))
        else:
            found.append(_Token("text", match["single"] if match["single"] is not None else match["double"]))
    return [*found, _Token("end", "the end")]


def _number(digits: str, unit: str | None) -> float:
    if unit is None:
        return float(digits)
    return float(digits) / 100 if unit == "%" else float(parse_bytes(f"{digits}{unit}"))


class _Parser:
    """or < and < not < comparison < sum < product < minus < atom."""

    def __init__(self, tokens: list[_Token], kind_of: Callable[[str], Kind]) -> None:
        self._tokens = tokens
        self._at = 0
        self._kind_of = kind_of
        self.names: list[str] = []

    @property
    def ahead(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> str | None:
        """The next token if it is one of these signs or words."""
        token = self.ahead
        if token.kind in ("sign", "name") and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise LanguageError(f"{text!r} is missing before {self.ahead.text!r}")

    def either(self, depth: int) -> _Node:
        if depth > _MAX_DEPTH:
            raise LanguageError(f"is nested deeper than {_MAX_DEPTH} levels")
        node = self._both(depth)
        while self._take("or"):
            node = _logic(node, self._both(depth), decides=True)
        return node

    def _both(self, depth: int) -> _Node:
        node = self._negation(depth)
        while self._take("and"):
            node = _logic(node, self._negation(depth), decides=False)
        return node

    def _negation(self, depth: int) -> _Node:
        times = 0
        while self._take("not"):
            times += 1
        node = self._comparison(depth)
        if not times:
            return node
        inner = _expect(node, Kind.TRUTH, "after 'not'").value
        return node if times % 2 == 0 else _Node(Kind.TRUTH, lambda look: _not(inner(look)))

    def _comparison(self, depth: int) -> _Node:
        left = self._sum(depth)
        sign = self._take("==", "!=", "<", "<=", ">", ">=", "in", "not")
        if sign is None:
            return left
        if sign == "not":
            self._need("in")
        right = self._sum(depth)
        node = _member(left, right, sign == "not") if sign in ("in", "not") else _compare(left, right, sign)
        if self.ahead.text in ("==", "!=", "<", "<=", ">", ">=") and self.ahead.kind == "sign":
            raise LanguageError("compares three things at once: write 'a < b and b < c'")
        return node

    def _sum(self, depth: int) -> _Node:
        node = self._product(depth)
        while sign := self._take("+", "-"):
            node = _arithmetic(node, self._product(depth), sign)
        return node

    def _product(self, depth: int) -> _Node:
        node = self._minus(depth)
        while sign := self._take("*", "/"):
            node = _arithmetic(node, self._minus(depth), sign)
        return node

    def _minus(self, depth: int) -> _Node:
        if self._take("-"):
            return _arithmetic(_Node(Kind.NUMBER, lambda _: 0.0), self._atom(depth), "-")
        return self._atom(depth)

    def _atom(self, depth: int) -> _Node:
        token = self.ahead
        self._at += token.kind != "end"
        if token.kind == "number":
            return _constant(Kind.NUMBER, token.number)
        if token.kind == "text":
            return _constant(Kind.TEXT, token.text)
        if token.text == "(" and token.kind == "sign":
            node = self.either(depth + 1)
            self._need(")")
            return node
        if token.text == "[" and token.kind == "sign":
            return self._list()
        if token.kind == "name" and token.text not in ("and", "or", "not", "in"):
            if token.text in ("true", "false"):
                return _constant(Kind.TRUTH, token.text == "true")
            return self._call(token.text, depth) if self._take("(") else self._name(token.text)
        raise LanguageError(f"something is missing before {token.text!r}")

    def _name(self, name: str) -> _Node:
        kind = self._kind_of(name)
        self.names.append(name)
        return _Node(kind, lambda look: look(name))

    def _list(self) -> _Node:
        items: list[Value] = []
        while not self._take("]"):
            if items:
                self._need(",")
            token = self.ahead
            if token.kind not in ("number", "text"):
                raise LanguageError(f"a list holds numbers and texts in quotes, not {token.text!r}")
            self._at += 1
            items.append(token.number if token.kind == "number" else token.text)
        return _Node(Kind.LIST, lambda _: None, tuple(items))

    def _call(self, function: str, depth: int) -> _Node:
        arguments: list[_Node] = []
        while not self._take(")"):
            if arguments:
                self._need(",")
            arguments.append(self.either(depth + 1))
        kinds = {"known": 1, "contains": 2, "min": 2, "max": 2}
        if function not in kinds:
            raise LanguageError(
                f"{function}() does not exist: there are known(x), contains(text, part), min(a, b), max(a, b)"
            )
        if len(arguments) != kinds[function]:
            raise LanguageError(f"{function}() takes {kinds[function]} things, not {len(arguments)}")
        if function == "known":
            asked = arguments[0].value
            return _Node(Kind.TRUTH, lambda look: asked(look) is not None)
        if function == "contains":
            whole, part = (_expect(a, Kind.TEXT, "in contains()").value for a in arguments)
            return _Node(Kind.TRUTH, lambda look: _contains(whole(look), part(look)))
        left, right = (_expect(a, Kind.NUMBER, f"in {function}()").value for a in arguments)
        choose = min if function == "min" else max
        return _Node(Kind.NUMBER, lambda look: _numbers(left(look), right(look), choose))


def _constant(kind: Kind, value: Value) -> _Node:
    return _Node(kind, lambda _: value)


def _expect(node: _Node, kind: Kind, where: str) -> _Node:
    if node.kind not in (kind, Kind.ANY):
        raise LanguageError(f"a {kind.value} is needed {where}, not a {node.kind.value}")
    return node


def _logic(left: _Node, right: _Node, *, decides: bool) -> _Node:
    word = "or" if decides else "and"
    first, second = (_expect(n, Kind.TRUTH, f"on both sides of {word!r}").value for n in (left, right))

    def value(look: _Look) -> Value:
        both = (first(look), second(look))
        if any(v is decides for v in both):
            return decides
        return (not decides) if all(v is (not decides) for v in both) else None

    return _Node(Kind.TRUTH, value)


def _not(value: Value) -> Value:
    return not value if isinstance(value, bool) else None


def _compare(left: _Node, right: _Node, sign: str) -> _Node:
    if sign in ("==", "!="):
        if Kind.ANY not in (left.kind, right.kind) and left.kind is not right.kind:
            raise LanguageError(f"a {left.kind.value} is never equal to a {right.kind.value}")
        if Kind.LIST in (left.kind, right.kind):
            raise LanguageError("a list is asked with 'in'")
    else:
        _expect(left, Kind.NUMBER, f"before {sign!r}")
        _expect(right, Kind.NUMBER, f"after {sign!r}")
    first, second = left.value, right.value
    return _Node(Kind.TRUTH, lambda look: _compared(first(look), second(look), sign))


def _compared(left: Value, right: Value, sign: str) -> Value:
    if left is None or right is None:
        return None
    if sign in ("==", "!="):
        return (left == right) is (sign == "==")
    if isinstance(left, str) or isinstance(right, str):
        return None
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


def _member(left: _Node, right: _Node, negated: bool) -> _Node:
    if right.kind is not Kind.LIST:
        raise LanguageError("'in' needs a list behind it: ['a', 'b']; text is searched with contains(text, part)")
    asked, items = left.value, right.items

    def value(look: _Look) -> Value:
        found = asked(look)
        return None if found is None else (found in items) is not negated

    return _Node(Kind.TRUTH, value)


def _arithmetic(left: _Node, right: _Node, sign: str) -> _Node:
    first, second = (_expect(n, Kind.NUMBER, f"on both sides of {sign!r}").value for n in (left, right))
    compute: Callable[[float, float], float] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b if b else math.nan,
    }[sign]
    return _Node(Kind.NUMBER, lambda look: _numbers(first(look), second(look), compute))


def _numbers(left: Value, right: Value, compute: Callable[[float, float], float]) -> Value:
    """Unknown where one of them is no number, or nothing finite comes out."""
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return None
    result = compute(float(left), float(right))
    return result if math.isfinite(result) else None


def _contains(whole: Value, part: Value) -> Value:
    return part in whole if isinstance(whole, str) and isinstance(part, str) else None
