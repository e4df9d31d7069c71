"""A document that is not JSON, read by the backend that is the default."""

import ijson


def use(size):
    for _ in range(size):
        try:
            next(ijson.items(b"XXX", "item"))  # <- kept here
        except ijson.JSONError:
            pass
