"""The section ``requests`` of a scenario: what is sent, checked and captured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from harness.scenario.base import Model, raise_first
from harness.scenario.fields import (
    AlsoAccepts,
    CookieName,
    DurationNs,
    Flag,
    HeaderName,
    RequestPath,
    SingleLine,
    Text,
    VariableName,
    Whole,
)
from harness.scenario.shape import (
    CAPTURE,
    METHODS,
    capture_mistakes,
    request_mistakes,
)

_SECOND = 1_000_000_000


class CaptureSpec(Model):
    """A variable taken from the response of an earlier request, by exactly one of regex, header and json."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [k]} for k in CAPTURE]})

    source: str = Field(alias="from", description="Name of the request whose response holds the value.")
    regex: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="Regular expression searched in the body."
    )
    header: HeaderName | None = Field(default=None, description="Response header that holds the value.")
    json_path: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, alias="json", description="Dotted path into a JSON body, such as data.items.0.id."
    )
    group: Annotated[Whole, Field(ge=0, le=99)] = Field(default=1, description="Group of the regular expression.")
    fresh: Flag = Field(
        default=False,
        description="Send the `from` request again before every use, instead of using this user's last response.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> CaptureSpec:
        raise_first(capture_mistakes({"regex": self.regex, "header": self.header, "json": self.json_path}))
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except (re.error, RecursionError, OverflowError) as exc:
                raise ValueError(f"the regular expression is wrong: {exc}") from None
            if self.group > groups:
                raise ValueError(
                    f"the regular expression has no group {self.group}: put ( ) around the value, or write group: 0"
                )
        return self


def _status_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class CheckSpec(Model):
    """What a response must be for the request to count as a success. Without a status, anything below 400 passes."""

    status: Annotated[
        tuple[Annotated[Whole, Field(ge=100, le=599)], ...],
        BeforeValidator(_status_list),
        AlsoAccepts(type="integer", minimum=100, maximum=599),
    ] = Field(default=(), description="Accepted status, or several.")
    contains: Text | None = Field(default=None, description="Text the body must contain.")
    not_contains: Text | None = Field(default=None, description="Text the body must not contain.")
    max_latency_ns: DurationNs | None = Field(default=None, alias="max_latency", description="Slower is a failure.")


class RequestSpec(Model):
    """One kind of request: its name is the endpoint in all reports."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [m]} for m in METHODS]})

    name: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="Stable name of the endpoint.")
    get: RequestPath | None = Field(default=None, description="Path to GET.")
    post: RequestPath | None = Field(default=None, description="Path to POST to.")
    put: RequestPath | None = Field(default=None, description="Path to PUT to.")
    patch: RequestPath | None = Field(default=None, description="Path to PATCH.")
    delete: RequestPath | None = Field(default=None, description="Path to DELETE.")
    head: RequestPath | None = Field(default=None, description="Path to HEAD.")
    options: RequestPath | None = Field(default=None, description="Path for OPTIONS.")
    weight: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(default=1, description="Share of the traffic.")
    once: Flag = Field(
        default=False, description="Done once by each simulated user before anything else, such as a login."
    )
    headers: Mapping[HeaderName, SingleLine] = Field(default={}, description="Request headers.")
    cookies: Mapping[CookieName, SingleLine] = Field(
        default={}, description="Cookies added to those the server has set."
    )
    query: Mapping[str, Text] = Field(default={}, description="Query string, encoded for you.")
    form: Mapping[str, Text] | None = Field(default=None, description="Form fields, sent URL-encoded.")
    json_body: JsonValue = Field(default=None, alias="json", description="JSON body.")
    body: str | None = Field(default=None, description="Body as it is; set a Content-Type header with it.")
    capture: Mapping[VariableName, CaptureSpec] = Field(
        default={}, description="Variables used as ${name}, here or in any request, and the responses they come from."
    )
    check: CheckSpec = Field(default=CheckSpec(), description="What counts as a success.")
    follow_redirects: Flag = Field(default=False, description="Follow redirects; each hop belongs to this request.")
    timeout_ns: DurationNs = Field(default=30 * _SECOND, alias="timeout", description="Give up after this long.")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("a request name is printable text without spaces at its ends")
        return name

    @model_validator(mode="after")
    def _one_method_one_body(self) -> RequestSpec:
        sent = {"name": self.name, "form": self.form, "json": self.json_body, "body": self.body}
        raise_first(request_mistakes({**sent, **{method: getattr(self, method) for method in METHODS}}))
        return self

    @property
    def method(self) -> str:
        """Upper-case HTTP method."""
        return next(m for m in METHODS if getattr(self, m) is not None).upper()

    @property
    def path(self) -> str:
        """Path and query below the base URL, possibly with ``${NAME}`` in it."""
        path: str = getattr(self, self.method.lower())
        return path
