"""Answers of a Redis server in protocol version 3, which knows maps."""

import hiredis

_answer = b"%10\r\n" + b"".join(b"$5\r\nkey%02d\r\n$9\r\nvalue-%03d\r\n" % (number, number) for number in range(10))


def use(size):
    reader = hiredis.Reader()
    for _ in range(size):
        reader.feed(_answer)
        reader.gets()  # <- kept here
