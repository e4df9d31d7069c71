"""What all models of the scenario file are made from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)


def _no_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path has no NUL character in it")
    return path


PathText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_nul)]


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
