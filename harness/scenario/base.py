"""What all models of the scenario file are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from harness.scenario.fields import EnvName, EnvValue


def _no_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path has no NUL character in it")
    return path


PathText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_nul)]
VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
Environment = Mapping[EnvName, EnvValue]


class Model(BaseModel):
    """Base of all sections: unknown keys are mistakes, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write only what could have been read: a key that is absent by default and absent here stays absent."""
        written: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if field.default is None and getattr(self, name) is None:
                written.pop(field.alias or name, None)
                written.pop(name, None)
        return written


def raise_first(mistakes: Iterator[str]) -> None:
    """For models: the reader reports all mistakes of a section itself."""
    for text in mistakes:
        raise PydanticCustomError("mistake", "{text}", {"text": text})


def host_in_full(value: object) -> object:
    """A host that is only an address."""
    return {"host": value} if isinstance(value, str) else value


def hosts_in_full(value: object) -> object:
    """The same of several."""
    return tuple(host_in_full(item) for item in value) if isinstance(value, list | tuple) else value
