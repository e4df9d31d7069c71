"""One large parse of small objects, of which a few are kept: each pins the arena of Python's allocator that it is in.

``size``: objects of that parse. It happens in the first request to the page.
"""

_kept = []


def use(size, number):
    if number == 1:
        parsed = [float(n) for n in range(size)]  # <- kept here: what is parsed
        _kept.extend(parsed[:: size // 2000])  # <- kept here: the survivors
