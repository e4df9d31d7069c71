"""Documents in BSON, decoded with the default options."""

import bson

_documents = bson.encode({"product": 17, "name": "Product 17"}) * 3


def use(size):
    for _ in range(size):
        bson.decode_all(_documents)  # <- kept here
