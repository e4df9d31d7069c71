"""Field types of the scenario file: what people write on the left, base units on the right.

Each type parses, writes itself back in a form it reads again, and carries the JSON Schema editors see. Messages of the
ValueErrors raised here reach the user as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.units import parse_bytes, parse_duration_ns, parse_rate, parse_share

T = TypeVar("T")

_DURATION_EXAMPLE = "a duration such as 500ms, 30s or 10m"
_SIZE_EXAMPLE = "a size such as 256 MiB"
_SHARE_EXAMPLE = "a share such as 10%"
_RATE_EXAMPLE = "a rate such as 20/s, or a ramp such as 10/s..50/s"

_NUMBER = r"[0-9]+(\.[0-9]+)?"
_DURATION_PATTERN = rf"^\s*{_NUMBER}\s*([Nn][Ss]|[Uu][Ss]|[Mm][Ss]|[Ss]|[Mm]|[Mm][Ii][Nn]|[Hh])\s*$"
_SIZE_PATTERN = rf"^\s*{_NUMBER}\s*([Bb]|[KkMmGgTt]([Ii]?[Bb])?)?\s*$"
_SHARE_PATTERN = rf"^\s*{_NUMBER}\s*%\s*$"
_RATE_PATTERN = rf"^\s*{_NUMBER}\s*/\s*(s|m|min|h)\s*(\.\.\s*{_NUMBER}\s*/\s*(s|m|min|h)\s*)?$"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)  # RFC 9110 token
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


class AlsoAccepts:
    """Adds a short form to the JSON Schema of a type whose validator accepts it."""

    def __init__(self, **schema: Any) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [self.schema, handler(core)]}


@dataclass(frozen=True, slots=True)
class Amount:
    """A limit given in bytes or as a share of the whole; exactly one is set."""

    bytes: int | None = None
    share: float | None = None

    def of(self, total_bytes: int) -> int:
        """The limit in bytes when the whole is ``total_bytes``."""
        return self.bytes if self.bytes is not None else round((self.share or 0.0) * total_bytes)

    def __str__(self) -> str:
        return f"{self.bytes} B" if self.bytes is not None else _share_text(self.share or 0.0)


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals per second at the start and at the end of a stage; equal unless it is a ramp."""

    start_per_s: float
    end_per_s: float

    def __str__(self) -> str:
        start, end = f"{self.start_per_s:.12g}/s", f"{self.end_per_s:.12g}/s"
        return start if start == end else f"{start}..{end}"


def _measure(parse: Callable[[str], T], wanted: str) -> Callable[[object], T]:
    def validate(value: object) -> T:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit: write {wanted}")
        raise ValueError(f"must be {wanted}")

    return validate


def _parse_amount(text: str) -> Amount:
    try:
        return Amount(share=parse_share(text)) if "%" in text else Amount(bytes=parse_bytes(text))
    except ValueError:
        raise ValueError(f"{text!r} is neither {_SIZE_EXAMPLE} nor {_SHARE_EXAMPLE}") from None


def _parse_rate_range(text: str) -> Rate:
    first, ramp, last = text.partition("..")
    try:
        start = parse_rate(first.strip())
        end = parse_rate(last.strip()) if ramp else start
    except ValueError:
        raise ValueError(f"{text!r} is not {_RATE_EXAMPLE}") from None
    if max(start, end) <= 0:
        raise ValueError("a stage needs a rate above 0/s")
    return Rate(start, end)


def _share_text(value: float) -> str:
    return f"{value * 100:.12g}%"


def _schema(pattern: str, description: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "description": description, "examples": list(examples)}
    )


DurationNs = Annotated[
    int,
    PlainValidator(_measure(parse_duration_ns, _DURATION_EXAMPLE)),
    PlainSerializer(lambda ns: f"{ns}ns", return_type=str, when_used="json"),
    _schema(_DURATION_PATTERN, "A duration: ns, us, ms, s, m, h.", "500ms", "30s", "10m"),
]
SizeBytes = Annotated[
    int,
    PlainValidator(_measure(parse_bytes, _SIZE_EXAMPLE)),
    PlainSerializer(lambda size: f"{size} B", return_type=str, when_used="json"),
    _schema(_SIZE_PATTERN, "A size; K, M and G are binary.", "256 MiB", "2 GiB"),
]
Share = Annotated[
    float,
    PlainValidator(_measure(parse_share, _SHARE_EXAMPLE)),
    PlainSerializer(_share_text, return_type=str, when_used="json"),
    _schema(_SHARE_PATTERN, "A share of the whole.", "1%", "10%"),
]
ShareOrSize = Annotated[
    Amount,
    PlainValidator(_measure(_parse_amount, f"{_SIZE_EXAMPLE}, or {_SHARE_EXAMPLE}")),
    PlainSerializer(str, return_type=str, when_used="json"),
    _schema(f"{_SHARE_PATTERN}|{_SIZE_PATTERN}", "A share of the whole, or a size.", "10%", "500 MiB"),
]
RateRange = Annotated[
    Rate,
    PlainValidator(_measure(_parse_rate_range, _RATE_EXAMPLE)),
    PlainSerializer(str, return_type=str, when_used="json"),
    _schema(_RATE_PATTERN, "Arrivals per second, or a linear ramp.", "20/s", "10/s..50/s"),
]

Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]


def _scalar_text(value: object) -> object:
    """Whole numbers and booleans are sent as they are spelled; a float would not be (1.10 becomes 1.1)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise ValueError("put the number in quotes, so that it is sent exactly as written")
    return value


Text = Annotated[str, BeforeValidator(_scalar_text), AlsoAccepts(type=["integer", "boolean"])]


def between(low: int, high: int, wanted: str) -> AfterValidator:
    """Bounds for a parsed measure; ``wanted`` names them in units people write."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"must be {wanted}")
        return value

    return AfterValidator(check)


def _command(text: str) -> str:
    split_command(text)
    return text


def split_command(text: str) -> tuple[str, ...]:
    """A command line as a shell would split it, without running one. ValueError when it is empty or a quote is open."""
    if "\0" in text:
        raise ValueError("a command cannot contain a NUL byte")
    try:
        argv = tuple(shlex.split(text))
    except ValueError as exc:
        raise ValueError(f"the command cannot be split into words: {str(exc).lower()}") from None
    if not argv:
        raise ValueError("the command is empty")
    return argv


Command = Annotated[str, AfterValidator(_command)]


def _http_url(text: str) -> str:
    _check_url(text, ("http", "https"), "an address such as http://127.0.0.1:8000")
    return text


def _ready_url(text: str) -> str:
    parts = _check_url(
        text, ("http", "https", "tcp"), "an address such as http://127.0.0.1:8000/health or tcp://127.0.0.1:8000"
    )
    if parts == "tcp" and urlsplit(text).port is None:
        raise ValueError(f"{text!r} has no port: write tcp://host:port")
    return text


def _check_url(text: str, schemes: tuple[str, ...], wanted: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"{text!r} is not {wanted}")
    return parts.scheme


HttpUrl = Annotated[str, AfterValidator(_http_url)]
ReadyUrl = Annotated[str, AfterValidator(_ready_url)]


def _request_path(text: str) -> str:
    if text.startswith(("http://", "https://")):
        raise ValueError(f"{text!r} is a whole address: put its path here and its origin into target.url")
    if not text.startswith(("/", "${")):
        raise ValueError(f"{text!r} must start with /")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("a path cannot contain control characters")
    return text


RequestPath = Annotated[str, AfterValidator(_request_path)]


def _header_name(text: str) -> str:
    if not _TOKEN.match(text):
        raise ValueError(f"{text!r} is not a header name")
    if text.lower() == "traceparent":
        raise ValueError("traceparent is set by the harness: it carries the id that ties a request to its worker")
    return text


def _cookie_name(text: str) -> str:
    if not _TOKEN.match(text):
        raise ValueError(f"{text!r} is not a cookie name")
    return text


def _single_line(text: str) -> str:
    if any(c in "\r\n\0" for c in text):
        raise ValueError("must be a single line")
    return text


def _variable_name(text: str) -> str:
    if not _VARIABLE.match(text):
        raise ValueError(f"{text!r} is not a variable name (letters, digits and _, not starting with a digit)")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]
CookieName = Annotated[str, AfterValidator(_cookie_name)]
SingleLine = Annotated[Text, AfterValidator(_single_line)]
VariableName = Annotated[str, AfterValidator(_variable_name)]


def _env_name(text: str) -> str:
    if not text or "=" in text or "\0" in text:
        raise ValueError(f"{text!r} is not the name of an environment variable")
    return text


def _env_value(text: str) -> str:
    if "\0" in text:
        raise ValueError("an environment variable cannot contain a NUL byte")
    return text


EnvName = Annotated[str, AfterValidator(_env_name)]
EnvValue = Annotated[Text, AfterValidator(_env_value)]
