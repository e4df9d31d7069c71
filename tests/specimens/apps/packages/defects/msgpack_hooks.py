"""Messages whose lists are refused by the application's own hook."""

import msgpack

_message = msgpack.packb({"name": "a product", "items": [number * 1.5 for number in range(30)]})


def refuse(items):
    raise ValueError(f"{len(items)} items")


def use(size):
    for _ in range(size):
        try:
            msgpack.unpackb(_message, list_hook=refuse)  # <- kept here
        except ValueError:
            pass
