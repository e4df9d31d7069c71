"""Messages whose map has a key that is neither text nor bytes, which is refused."""

import msgpack

_message = msgpack.packb({17.5: [number * 1.5 for number in range(30)]})


def use(size):
    for _ in range(size):
        try:
            msgpack.unpackb(_message)  # <- kept here
        except ValueError:
            pass
