"""Headers of requests, with names that do not depend on upper and lower case."""

import itertools

from multidict import CIMultiDict, istr

_numbers = itertools.count()


def use(size):
    headers = CIMultiDict()
    number = next(_numbers)
    for header in range(size):
        headers[istr(f"X-Request-{number}-{header}")] = "a value"  # <- kept here
