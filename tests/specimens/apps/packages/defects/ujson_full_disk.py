"""A report that is written to a file which cannot take it."""

import ujson

_report = {f"line {number}": "a value " * 4 for number in range(60)}


class FullDisk:
    def write(self, text):
        raise OSError("no space left on device")


def use(size):
    for _ in range(size):
        try:
            ujson.dump(_report, FullDisk())  # <- kept here
        except OSError:
            pass
