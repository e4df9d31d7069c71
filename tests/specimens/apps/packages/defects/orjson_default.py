"""An object that cannot be made JSON: the function that should convert it raises."""

import orjson


class Order:
    pass


def convert(value):
    raise TypeError(f"{type(value).__name__} is not JSON")  # <- kept here


def use(size):
    for _ in range(size):
        try:
            orjson.dumps({"order": Order()}, default=convert)  # <- kept here
        except TypeError:
            pass
