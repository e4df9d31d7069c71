"""The same validators with the collector on."""

import jsonschema

from defects.jsonschema_cycles import _schema


def use(size):
    for number in range(size):
        jsonschema.Draft7Validator(_schema).validate({"name": "a product", "number": number})
