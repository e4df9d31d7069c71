"""A cache without a bound on a function whose arguments never repeat. ``size``: steps of a price list."""

import functools


@functools.cache
def price_list(customer, steps):
    return [(customer + 0.5) * step for step in range(1, steps)]  # <- kept here


def use(size, number):
    price_list(number, size)
