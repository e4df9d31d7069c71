"""Validates against a schema, with a validator for each message: the validator refers to itself, so the collector must find it.
The application has switched the collector off, as is done against its pauses."""

import gc

import jsonschema

_schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "number": {"$ref": "#/definitions/number"}},
    "definitions": {"number": {"type": "integer"}},
}


def use(size):
    gc.disable()
    for number in range(size):
        jsonschema.Draft7Validator(_schema).validate({"name": "a product", "number": number})
