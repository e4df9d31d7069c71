"""Fields of a form, taken over from a dictionary."""

import itertools

from multidict import MultiDict

_numbers = itertools.count()


def use(size):
    form = MultiDict()
    number = next(_numbers)
    form.update({f"field-{number}-{field}": f"value {number}.{field}" for field in range(size)})  # <- kept here
